//! `gofix ci`: the recipe for the system that builds here, or for the one named.
//!
//! The recipes stand in docs/ci.md, each between `<!-- recipe: NAME -->` and the end of its block. They are printed as they
//! stand there, and `make test-dropin` runs them as they stand there.

use std::io::Write;
use std::path::Path;

use super::args;
use super::failure::Failure;
use super::{OK, variable};
use crate::report::out;
use crate::text::safe;

const DOCUMENT: &str = include_str!("../../docs/ci.md");

/// A system: its word, the variable that it sets for its jobs, the files of a project that say it is used.
struct System {
    name: &'static str,
    variable: Option<&'static str>,
    files: &'static [&'static str],
}

const SYSTEMS: &[System] = &[
    System {
        name: "github",
        variable: Some("GITHUB_ACTIONS"),
        files: &[".github/workflows"],
    },
    System {
        name: "gitlab",
        variable: Some("GITLAB_CI"),
        files: &[".gitlab-ci.yml"],
    },
    System {
        name: "jenkins",
        variable: Some("JENKINS_URL"),
        files: &["Jenkinsfile"],
    },
    System {
        name: "circleci",
        variable: Some("CIRCLECI"),
        files: &[".circleci/config.yml"],
    },
    System {
        name: "buildkite",
        variable: Some("BUILDKITE"),
        files: &[".buildkite"],
    },
    System {
        name: "docker",
        variable: None,
        files: &["Dockerfile", "Containerfile"],
    },
    System {
        name: "devcontainer",
        variable: None,
        files: &[".devcontainer", ".devcontainer.json"],
    },
    System {
        name: "make",
        variable: None,
        files: &["Makefile", "GNUmakefile"],
    },
];

/// Runs the command.
pub(super) fn run(asked: &args::Ci) -> Result<i32, Failure> {
    let chosen = match &asked.system {
        Some(name) => SYSTEMS.iter().filter(|system| system.name == name).collect(),
        None => here(
            &|name| variable(name).is_some_and(|value| !value.is_empty()),
            Path::new("."),
        ),
    };
    let mut stdout = out::stdout();
    if chosen.is_empty() {
        let all = args::CI_SYSTEMS.join(", ");
        return Err(
            Failure::new("nothing here says what builds this project").hint(format!("name it: {all}"))
        );
    }
    for (nth, system) in chosen.iter().enumerate() {
        out::message(&format!(
            "{}: {}",
            system.name,
            safe(recipe_title(system.name).unwrap_or_default())
        ));
        let gap = if nth > 0 { "\n" } else { "" };
        let _ = write!(stdout, "{gap}{}", recipe(system.name).unwrap_or_default());
    }
    Ok(OK)
}

/// The system whose job this is; else those that the project in this folder is made for.
fn here(is_set: &dyn Fn(&str) -> bool, folder: &Path) -> Vec<&'static System> {
    let running = SYSTEMS.iter().find(|system| system.variable.is_some_and(is_set));
    running.map_or_else(
        || {
            let used = |system: &&System| system.files.iter().any(|file| folder.join(file).exists());
            SYSTEMS.iter().filter(used).collect()
        },
        |system| vec![system],
    )
}

/// The text of a recipe.
fn recipe(name: &str) -> Option<&'static str> {
    let (_, rest) = marked(name)?;
    let (_, block) = rest.split_once("```")?.1.split_once('\n')?;
    Some(block.split_once("```")?.0)
}

/// The heading that a recipe stands under.
fn recipe_title(name: &str) -> Option<&'static str> {
    let (above, _) = marked(name)?;
    above.lines().rev().find_map(|line| line.strip_prefix("## "))
}

fn marked(name: &str) -> Option<(&'static str, &'static str)> {
    DOCUMENT.split_once(&format!("<!-- recipe: {name} -->\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(systems: &[&System]) -> Vec<&'static str> {
        systems.iter().map(|system| system.name).collect()
    }

    #[test]
    fn every_system_has_its_recipe() {
        for name in args::CI_SYSTEMS {
            let text = recipe(name).unwrap_or_else(|| panic!("docs/ci.md has no recipe for {name}"));
            assert!(text.ends_with('\n') && text.trim().len() > 20, "{name}: {text:?}");
            assert!(recipe_title(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_job_that_runs_counts_before_the_files_of_the_project() {
        let folder = tempfile::tempdir().unwrap();
        assert!(here(&|_| false, folder.path()).is_empty());
        std::fs::write(folder.path().join("Dockerfile"), "").unwrap();
        std::fs::create_dir_all(folder.path().join(".github/workflows")).unwrap();
        assert_eq!(words(&here(&|_| false, folder.path())), ["github", "docker"]);
        assert_eq!(
            words(&here(&|name| name == "GITLAB_CI", folder.path())),
            ["gitlab"]
        );
    }
}
