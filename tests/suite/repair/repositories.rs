//! Clones that go keeps of version control repositories.

use super::*;

#[test]
fn broken_repositories_are_fetched_again() {
    let Some(direct) = Direct::new() else { return };
    let sandbox = &direct.sandbox;
    let repository = direct.repository();
    sandbox.gofix(&["cache", "verify"]).output().expect_code(0);
    let pristine = sandbox.path("pristine");
    copy_tree(&sandbox.modcache().join("cache/vcs"), &pristine);
    let info = repository.with_extension("info");
    let in_repository = |name: &str| repository.join(name);
    let objects: Vec<PathBuf> = files_below(&repository.join("objects"));
    assert!(!objects.is_empty());
    type Strike<'a> = Box<dyn Fn() + 'a>;
    let cases: Vec<(&str, Strike<'_>)> = vec![
        (
            "HEAD",
            Box::new(|| fs::write(in_repository("HEAD"), "<html>").unwrap()),
        ),
        (
            "config",
            Box::new(|| fs::write(in_repository("config"), "\0\0\0\0").unwrap()),
        ),
        (
            "no remote",
            Box::new(|| fs::write(in_repository("config"), "[core]\n\tbare = true\n").unwrap()),
        ),
        (
            "packed-refs",
            Box::new(|| fs::write(in_repository("packed-refs"), "<html>\n").unwrap()),
        ),
        (
            "info",
            Box::new(|| fs::write(&info, "git3:https://example.test/other").unwrap()),
        ),
        (
            "objects lost",
            Box::new(|| {
                for object in &objects {
                    fs::set_permissions(object, fs::Permissions::from_mode(0o644)).unwrap();
                    fs::remove_file(object).unwrap();
                }
            }),
        ),
        (
            "objects damaged",
            Box::new(|| {
                for object in &objects {
                    Damage::BitFlip.strike(object, Path::new(""));
                }
            }),
        ),
    ];
    let whole = tree(&sandbox.modcache().join("example.test"));
    for (name, damage) in &cases {
        for supervised in [false, true] {
            remove_tree(&sandbox.modcache().join("cache/vcs"));
            copy_tree(&pristine, &sandbox.modcache().join("cache/vcs"));
            direct.forget_module();
            damage();
            if supervised {
                let run = sandbox.go(&["mod", "download"]).output();
                assert_eq!(run.code(), Some(0), "{name}: {run}");
            } else {
                let repair = sandbox.gofix(&["cache", "repair"]).output();
                assert_eq!(repair.code(), Some(0), "{name}: {repair}");
                assert!(repair.stdout.contains("bad repository"), "{name}: {repair}");
                let run = sandbox.plain_go(&["mod", "download"]).output();
                assert_eq!(run.code(), Some(0), "{name}: {run}");
            }
            assert_eq!(tree(&sandbox.modcache().join("example.test")), whole, "{name}");
        }
    }
}

#[test]
fn a_healthy_repository_stays_where_it_is_when_a_revision_is_unknown() {
    let Some(direct) = Direct::new() else { return };
    let before = tree(&direct.repository());
    let run = direct
        .sandbox
        .go(&["mod", "download", "example.test/repo.git@v9.9.9"])
        .output()
        .expect_code(1);
    assert!(run.stderr.contains("unknown revision"), "{run}");
    let kept = direct.sandbox.gofix(&["cache", "list"]).output();
    assert_eq!(kept.stdout, "nothing is set aside\n");
    for (path, content) in before {
        assert_eq!(
            tree(&direct.repository()).get(&path),
            Some(&content),
            "{}",
            path.display()
        );
    }
}
