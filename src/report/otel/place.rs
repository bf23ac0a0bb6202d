//! Which job of which CI system this is, in the words of the semantic conventions (`cicd.*`, `vcs.*`).

use crate::text::safe;

/// Attributes, in the order in which they were given.
pub(super) type Pairs = Vec<(String, String)>;

/// Each attribute, and where a system says it: a variable, or a URL made of several, each in braces.
type Table = &'static [(&'static str, &'static str)];

const GITHUB: Table = &[
    ("cicd.pipeline.name", "{GITHUB_WORKFLOW}"),
    ("cicd.pipeline.run.id", "{GITHUB_RUN_ID}"),
    (
        "cicd.pipeline.run.url.full",
        "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    ),
    ("cicd.pipeline.task.name", "{GITHUB_JOB}"),
    ("cicd.worker.name", "{RUNNER_NAME}"),
    (
        "vcs.repository.url.full",
        "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}",
    ),
    ("vcs.owner.name", "{GITHUB_REPOSITORY_OWNER}"),
    ("vcs.ref.head.name", "{GITHUB_HEAD_REF}"),
    ("vcs.ref.head.name", "{GITHUB_REF_NAME}"),
    ("vcs.ref.head.type", "{GITHUB_REF_TYPE}"),
    ("vcs.ref.head.revision", "{GITHUB_SHA}"),
];

// CI_REPOSITORY_URL holds a token and is left alone.
const GITLAB: Table = &[
    ("cicd.pipeline.name", "{CI_PIPELINE_NAME}"),
    ("cicd.pipeline.run.id", "{CI_PIPELINE_ID}"),
    ("cicd.pipeline.run.url.full", "{CI_PIPELINE_URL}"),
    ("cicd.pipeline.task.name", "{CI_JOB_NAME}"),
    ("cicd.pipeline.task.run.id", "{CI_JOB_ID}"),
    ("cicd.pipeline.task.run.url.full", "{CI_JOB_URL}"),
    ("cicd.worker.id", "{CI_RUNNER_ID}"),
    ("cicd.worker.name", "{CI_RUNNER_DESCRIPTION}"),
    ("vcs.repository.url.full", "{CI_PROJECT_URL}"),
    ("vcs.repository.name", "{CI_PROJECT_NAME}"),
    ("vcs.owner.name", "{CI_PROJECT_NAMESPACE}"),
    ("vcs.change.id", "{CI_MERGE_REQUEST_IID}"),
    ("vcs.ref.head.name", "{CI_COMMIT_REF_NAME}"),
    ("vcs.ref.head.revision", "{CI_COMMIT_SHA}"),
];

/// The attributes of this job, and the name of this machine.
pub(super) fn of(text: &dyn Fn(&str) -> Option<String>) -> Pairs {
    let mut pairs = Pairs::new();
    let host = nix::unistd::gethostname().ok();
    if let Some(host) = host.and_then(|host| host.into_string().ok()) {
        pairs.push(("host.name".to_owned(), safe(&host)));
    }
    let (provider, table) = match (text("GITHUB_ACTIONS"), text("GITLAB_CI")) {
        (Some(_), _) => ("github", GITHUB),
        (None, Some(_)) => ("gitlab", GITLAB),
        (None, None) => return pairs,
    };
    pairs.push(("vcs.provider.name".to_owned(), provider.to_owned()));
    for (key, template) in table {
        let is_new = pairs.iter().all(|(known, _)| known != key);
        if let Some(value) = filled(template, text).filter(|_| is_new) {
            pairs.push(((*key).to_owned(), safe(&value)));
        }
    }
    pairs
}

/// The template with its variables put in; `None` where one is not there.
fn filled(template: &str, text: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}')?;
        filled.push_str(before);
        filled.push_str(&text(name)?);
        rest = after;
    }
    Some(filled + rest)
}

#[cfg(test)]
mod tests {

    fn of(env: &[(&str, &str)]) -> Vec<String> {
        let text = |name: &str| Some(env.iter().find(|(known, _)| *known == name)?.1.to_owned());
        let pairs = super::of(&text).into_iter().filter(|(key, _)| key != "host.name");
        pairs.map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn jobs() {
        assert_eq!(of(&[("CI", "true")]), [""; 0]);
        assert_eq!(
            of(&[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_WORKFLOW", "ci"),
                ("GITHUB_RUN_ID", "7"),
                ("GITHUB_SERVER_URL", "https://github.example"),
                ("GITHUB_REPOSITORY", "o/r"),
                ("GITHUB_HEAD_REF", "topic"),
                ("GITHUB_REF_NAME", "1/merge"),
            ]),
            [
                "vcs.provider.name=github",
                "cicd.pipeline.name=ci",
                "cicd.pipeline.run.id=7",
                "cicd.pipeline.run.url.full=https://github.example/o/r/actions/runs/7",
                "vcs.repository.url.full=https://github.example/o/r",
                "vcs.ref.head.name=topic",
            ]
        );
        assert_eq!(
            of(&[
                ("GITLAB_CI", "true"),
                ("CI_JOB_NAME", "test"),
                ("CI_JOB_ID", "9"),
                ("CI_PROJECT_URL", "https://me:secret@gitlab.example/o/r"),
            ]),
            [
                "vcs.provider.name=gitlab",
                "cicd.pipeline.task.name=test",
                "cicd.pipeline.task.run.id=9",
                "vcs.repository.url.full=https://xxxxx@gitlab.example/o/r",
            ]
        );
    }
}
