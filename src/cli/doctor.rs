//! `gofix doctor`, and `gofix routes test`, which is its part about servers.

use std::io::Write as _;
use std::path::Path;

use super::args::{self, Settings};
use super::failure::Failure;
use super::{config_with_warnings_said, real_go};
use crate::doctor::{Examination, Subject, examine, go_of_the_shell};
use crate::go::env::GoEnv;
use crate::report::out::LiveLine;
use crate::report::{Ci, out, safe};

/// Runs `gofix doctor`; its exit status is that of the worst row.
pub(super) fn run(asked: &args::Doctor, settings: &Settings) -> Result<i32, Failure> {
    let module = asked.module.as_deref().map(|text| {
        module_version(text).ok_or_else(|| {
            Failure::usage("--module wants a module with its version, such as golang.org/x/text@v0.3.0")
        })
    });
    let module = module.transpose()?;
    doctor(settings, asked.json, module, false)
}

/// Runs `gofix routes test`.
pub(super) fn test_routes(settings: &Settings, json: bool) -> Result<i32, Failure> {
    doctor(settings, json, None, true)
}

fn doctor(
    settings: &Settings,
    json: bool,
    module: Option<(String, String)>,
    only_servers: bool,
) -> Result<i32, Failure> {
    let config = config_with_warnings_said(settings)?;
    let env = |name: &str| std::env::var_os(name);
    let go = real_go().or_else(|| go_of_the_shell(&env));
    let goenv = GoEnv::load(&env, go.as_deref());
    let subject = Subject {
        goenv: &goenv,
        config: &config,
        real_go: go.as_deref().map(Path::new),
        env: &env,
        module,
        only_servers,
    };
    let line = LiveLine::on_stderr(Ci::detect(&env) == Ci::None);
    let found = examine(&subject, &mut |state| line.show(state));
    drop(line);
    Ok(match found {
        // What a probe that failed has left out is nobody's fault but gofix's own.
        Ok(_) if crate::sys::panics::happened() => super::FAILED,
        Ok(found) => {
            show(&found, json);
            i32::from(found.worst().exit_status())
        }
        Err(e) => {
            out::message(&format!("the examination cannot start: {}", safe(&e.to_string())));
            i32::from(crate::doctor::Grade::Broken.exit_status())
        }
    })
}

fn show(found: &Examination, json: bool) {
    let mut stdout = out::stdout();
    // Every write to it succeeds.
    if json {
        let _ = writeln!(stdout, "{}", found.json());
    } else {
        let _ = found.table(out::stdout_columns(), &mut stdout);
    }
    let _ = stdout.flush();
}

/// `MODULE@VERSION`, both plain enough to become a path.
fn module_version(text: &str) -> Option<(String, String)> {
    let (module, version) = text.split_once('@')?;
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b'~' | b'+'))
            && !part.split('/').any(|element| matches!(element, "" | "." | ".."))
    };
    (plain(module) && plain(version) && version.starts_with('v'))
        .then(|| (module.to_owned(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_given_with_its_version() {
        assert!(module_version("golang.org/x/text@v0.3.0").is_some());
        assert!(module_version("example.com/M@v1.0.0-pre+incompatible").is_some());
        for bad in [
            "golang.org/x/text",
            "@v1",
            "a@",
            "a@1.0",
            "../x@v1",
            "a b@v1",
            "a@v1/../x",
            "a\r\n@v1",
        ] {
            assert!(module_version(bad).is_none(), "{bad}");
        }
    }
}
