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

/// Packs, which go gets of all but small repositories, in both of git's formats.
#[test]
fn packs_are_checked_by_the_hash_of_their_repository() {
    const URL: &str = "https://example.test/packed";
    for format in ["sha1", "sha256"] {
        let sandbox = Sandbox::new().env("GIT_CONFIG_NOSYSTEM", "1");
        let vcs = sandbox.modcache().join("cache/vcs");
        let key = format!("git3:{URL}");
        let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
        let hash: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let repository = vcs.join(&hash);
        fs::create_dir_all(&repository).unwrap();
        fs::write(vcs.join(format!("{hash}.info")), &key).unwrap();
        let git = |args: &[&str]| {
            let mut git = sandbox.run("git").args(args).dir(&repository);
            git.command.output().is_ok_and(|output| output.status.success())
        };
        if !git(&["init", "-q", "--bare", &format!("--object-format={format}")]) {
            // No git, or one that is too old.
            return;
        }
        assert!(git(&["remote", "add", "origin", URL]));
        let tree = "$(git mktree </dev/null)";
        let author = "-c user.name=t -c user.email=t@example.test";
        let script = format!("git update-ref refs/heads/main $(git {author} commit-tree -m one {tree})");
        let mut commit = sandbox.run("sh").args(["-ec", &script]).dir(&repository);
        assert!(commit.command.output().unwrap().status.success());
        assert!(git(&["repack", "-adq"]));
        assert!(git(&["pack-refs", "--all"]));
        let verify = || sandbox.gofix(&["cache", "verify"]).output();
        verify().expect_code(0);
        let pristine = sandbox.path("pristine");
        copy_tree(&repository, &pristine);
        let packs = files_below(&repository.join("objects/pack"));
        for suffix in ["pack", "idx"] {
            let file = packs
                .iter()
                .find(|file| file.extension().is_some_and(|e| e == suffix));
            for damage in [Damage::BitFlip, Damage::Cut, Damage::Missing] {
                damage.strike(file.unwrap(), Path::new(""));
                let said = verify();
                assert_eq!(said.code(), Some(1), "{format} {suffix} {damage:?}: {said}");
                assert!(said.stdout.contains("bad repository"), "{said}");
                remove_tree(&repository);
                copy_tree(&pristine, &repository);
            }
        }
        verify().expect_code(0);
    }
}
