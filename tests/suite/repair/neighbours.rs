//! Links, locks, owners, mounts, full disks and other processes.

use super::*;

/// The cache as somebody else might leave it for root to fall over.
#[test]
fn planted_links_are_neither_followed_nor_touched() {
    let mut cache = Cache::new();
    let treasure = cache.sandbox.path("treasure");
    fs::create_dir(&treasure).unwrap();
    for name in ["v1.2.0.zip", "v1.2.0.ziphash", "v1.2.0.mod", "v1.2.0.lock", "f"] {
        fs::write(treasure.join(name), "precious").unwrap();
    }
    let mut locked = fs::metadata(&treasure).unwrap().permissions();
    locked.set_mode(0o555);
    fs::set_permissions(&treasure, locked).unwrap();
    let before = tree(&treasure);
    let link = |from: &Path| {
        if from.is_dir() {
            remove_tree(from);
        } else {
            fs::remove_file(from).ok();
        }
        std::os::unix::fs::symlink(&treasure, from).unwrap();
    };
    let at_v = cache.file("zip").parent().unwrap().to_path_buf();
    let tree_above = cache.extracted().parent().unwrap().to_path_buf();
    for place in ["zip", "ziphash", "mod", "lock"] {
        cache.reset();
        Damage::Missing.strike(&cache.extracted().join("sub/sub.go"), Path::new(""));
        fs::remove_file(cache.file(place)).unwrap();
        std::os::unix::fs::symlink(treasure.join(format!("v1.2.0.{place}")), cache.file(place)).unwrap();
        cache.repair();
        assert_eq!(tree(&treasure), before, "{place}");
        let read = fs::read_link(cache.file(place));
        assert!(read.is_ok(), "{place}: the link itself is left alone");
    }
    for place in [
        at_v,
        cache.extracted(),
        tree_above,
        cache.sandbox.modcache().join("cache/gofix"),
    ] {
        cache.reset();
        fs::write(cache.file("mod"), "<html>").unwrap();
        link(&place);
        cache.repair();
        cache.sandbox.gofix(&["cache", "verify"]).output();
        cache.sandbox.gofix(&["cache", "restore"]).output();
        assert_eq!(tree(&treasure), before, "{}", place.display());
        fs::remove_file(&place).unwrap();
        fs::create_dir_all(&place).unwrap();
    }
    // Inside the extracted tree: the tree goes, what the link points to stays.
    cache.reset();
    let inner = cache.extracted().join("sub");
    open_up(&cache.extracted());
    remove_tree(&inner);
    std::os::unix::fs::symlink(&treasure, &inner).unwrap();
    cache.repair().expect_code(0);
    cache.expect_go_works("link in a tree");
    assert_eq!(tree(&treasure), before);
    let kept = cache.sandbox.modcache().join("cache/gofix");
    assert!(kept.is_dir());
    open_up(&treasure);
}

#[test]
fn a_held_lock_is_named_with_its_holder_and_nothing_is_done() {
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("zip"), "<html>").unwrap();
    let lock = fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(cache.file("lock"))
        .unwrap();
    lock.lock().unwrap();
    let run = cache
        .sandbox
        .gofix(&["cache", "repair"])
        .env("GOFIX_STALL_MS", "1000")
        // This process holds the lock and moves, for the other tests' sake: the budget ends the wait.
        .env("GOFIX_BUDGET", "2s")
        .output()
        .expect_code(1);
    assert!(run.stderr.contains("v1.2.0.lock is locked by process"), "{run}");
    if cfg!(target_os = "linux") {
        assert!(
            run.stderr.contains(&format!("process {} (", std::process::id())),
            "{run}"
        );
    }
    assert_eq!(fs::read(cache.file("zip")).unwrap(), b"<html>");
    assert!(!cache.sandbox.modcache().join("cache/gofix").exists());
    // Verify does not judge what somebody works on.
    let verify = cache.sandbox.gofix(&["cache", "verify"]).output().expect_code(0);
    assert!(verify.stdout.contains("another process works on it"), "{verify}");

    // A neighbour that ends is waited for.
    let mut run = cache.sandbox.gofix(&["cache", "repair"]);
    let mut child = run
        .command
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("gofix: waiting: "), "{line}");
    drop(lock);
    assert!(child.wait().unwrap().success());
    assert_ne!(fs::read(cache.file("zip")).ok().as_deref(), Some(&b"<html>"[..]));
    cache.expect_go_works("after the wait");
}

/// Trees of other owners are left alone, whoever gofix is.
#[test]
fn a_tree_of_another_owner_is_left_alone() {
    if !is_root() {
        return;
    }
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("mod"), "<html>").unwrap();
    let at_v = cache.file("mod").parent().unwrap().to_path_buf();
    std::os::unix::fs::chown(&at_v, Some(12345), None).unwrap();
    let before = tree(&cache.sandbox.modcache());
    let run = cache.repair().expect_code(1);
    assert!(
        run.stderr.contains("belongs to another user (uid 12345)"),
        "{run}"
    );
    assert_eq!(run.gofix_lines().len(), 1, "{run}");
    assert_eq!(tree(&cache.sandbox.modcache()), before);
}

/// One line, and everything as it was.
#[track_caller]
fn expect_refusal(cache: &Cache, run: &Outcome, word: &str) {
    assert_eq!(run.code(), Some(1), "{run}");
    assert!(run.stderr.contains(word), "{run}");
    assert_eq!(run.gofix_lines().len(), 1, "{run}");
    assert!(!cache.sandbox.modcache().join("cache/gofix").exists(), "{run}");
}

#[test]
fn a_cache_that_may_not_be_written_is_left_as_it_is() {
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("zip"), "<html>").unwrap();
    let mut run = cache.sandbox.gofix(&["cache", "repair"]);
    if is_root() {
        // Modes keep nothing from root: be somebody else.
        std::os::unix::process::CommandExt::uid(&mut run.command, 65534);
        open_to_all(cache.sandbox.path("").as_path());
        if fs::metadata("/tmp").is_err() || !reachable(&cache) {
            return;
        }
    } else {
        open_up(&cache.sandbox.modcache().join("cache"));
        for dir in ["cache", "cache/download/example.com/!upper/a/@v"] {
            let dir = cache.sandbox.modcache().join(dir);
            fs::set_permissions(dir, fs::Permissions::from_mode(0o555)).unwrap();
        }
    }
    let before = tree(&cache.sandbox.modcache());
    let run = run.output();
    expect_refusal(&cache, &run, "permission denied");
    assert_eq!(tree(&cache.sandbox.modcache()), before);
}

/// Everybody may read the sandbox.
fn open_to_all(dir: &Path) {
    let mode = fs::metadata(dir).unwrap().permissions().mode();
    fs::set_permissions(dir, fs::Permissions::from_mode(mode | 0o555)).unwrap();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            open_to_all(&entry.path());
        }
    }
}

/// True where another user can start the program under test at all.
fn reachable(cache: &Cache) -> bool {
    let mut run = cache.sandbox.gofix(&["--version"]);
    std::os::unix::process::CommandExt::uid(&mut run.command, 65534);
    run.command.output().is_ok_and(|output| output.status.success())
}

/// Runs a shell script in a mount namespace of its own; `None` where there is none to be had.
fn in_own_mounts(cache: &Cache, script: &str) -> Option<Outcome> {
    if !is_root() {
        return None;
    }
    let probe = cache.sandbox.run("unshare").args(["-m", "true"]).command.output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return None;
    }
    Some(
        cache
            .sandbox
            .run("unshare")
            .args(["-m", "sh", "-ec", script])
            .output(),
    )
}

#[test]
fn a_read_only_mount_is_said_to_be_one() {
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("zip"), "<html>").unwrap();
    let script =
        "mount --bind $GOMODCACHE $GOMODCACHE; mount -o remount,ro,bind $GOMODCACHE; exec gofix cache repair";
    let Some(run) = in_own_mounts(&cache, script) else {
        return;
    };
    expect_refusal(&cache, &run, "is on a read-only file system");
}

#[test]
fn a_full_disk_is_said_to_be_one() {
    let mut cache = Cache::new();
    cache.reset();
    fs::write(cache.file("zip"), "<html>").unwrap();
    let script = "cp -a $GOMODCACHE $TMPDIR/copy; mount -t tmpfs -o size=600k tmpfs $GOMODCACHE; \
        cp -a $TMPDIR/copy/. $GOMODCACHE; cat /dev/zero > $GOMODCACHE/fill 2>/dev/null || true; \
        (cd $GOMODCACHE; find . -type f ! -name fill | sort | xargs sha256sum) > $TMPDIR/before; \
        gofix cache repair || status=$?; \
        (cd $GOMODCACHE; find . -type f ! -name fill | sort | xargs sha256sum) > $TMPDIR/after; \
        cmp $TMPDIR/before $TMPDIR/after; exit $status";
    let Some(run) = in_own_mounts(&cache, script) else {
        return;
    };
    expect_refusal(&cache, &run, "no space left");
}

/// Twenty go and two gofix on one cache that is damaged under them: gofix ends
/// right, and a plain go that met the damage ends right when it runs again.
#[test]
fn many_processes_share_a_damaged_cache() {
    let mut cache = Cache::new();
    let commands = [
        &["mod", "download"][..],
        &["build", "-o", "/dev/null"],
        &["list", "-deps", "./..."],
    ];
    for round in 0..3 {
        cache.reset();
        remove_tree(&cache.extracted());
        let late = round == 2;
        let strike = || {
            Damage::Html.strike(&cache.file("mod"), Path::new(""));
            if round == 0 {
                Damage::Cut.strike(&cache.file("zip"), Path::new(""));
            } else {
                let other = cache
                    .sandbox
                    .modcache()
                    .join("cache/download/example.com/b/@v/v1.0.0.ziphash");
                Damage::Swapped.strike(&cache.file("ziphash"), &other);
            }
        };
        if !late {
            strike();
        }
        let plain: Vec<_> = (0..20)
            .map(|n| (n, cache.sandbox.plain_go(commands[n % commands.len()]).spawn()))
            .collect();
        if late {
            strike();
        }
        let ours: Vec<_> = (0..2).map(|n| cache.sandbox.go(commands[n]).spawn()).collect();
        for run in ours {
            let run = run.wait();
            assert_eq!(run.code(), Some(0), "round {round}: {run}");
        }
        for (n, run) in plain {
            let first = run.wait();
            if first.code() != Some(0) {
                let again = cache.sandbox.plain_go(commands[n % commands.len()]).output();
                assert_eq!(
                    again.code(),
                    Some(0),
                    "round {round}: {first}\nand again: {again}"
                );
            }
        }
        cache.expect_go_works("afterwards");
        cache.repair().expect_code(0);
        cache.expect_go_works("and mended");
    }
}
