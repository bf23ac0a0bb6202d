//! The cached copy of a checksum database, and the signed tree head.

use super::*;

#[test]
fn damaged_pieces_of_a_checksum_database_are_fetched_again() {
    let (sandbox, _proxy) = database();
    let top = sandbox.modcache().join("cache/download/sumdb");
    let latest = sandbox.path("gopath/pkg/sumdb/sum.example.test/latest");
    let pristine = sandbox.path("pristine");
    copy_tree(&top, &pristine);
    let head = fs::read(&latest).unwrap();
    let sums = sandbox.read("go.sum");
    let mut files = files_below(&top);
    assert!(
        files.iter().any(|file| file.ends_with("tile/8/1/000.p/1")),
        "{files:?}"
    );
    files.push(latest.clone());
    let mut failures = Vec::new();
    let damages = [
        Damage::Cut,
        Damage::Nul,
        Damage::Html,
        Damage::BitFlip,
        Damage::Swapped,
        Damage::Empty,
    ];
    for (n, file) in files.iter().enumerate() {
        let other = files[(n + 1) % files.len()].clone();
        for damage in damages {
            remove_tree(&top);
            copy_tree(&pristine, &top);
            fs::write(&latest, &head).unwrap();
            damage.strike(file, &other);
            fs::remove_file(sandbox.project().join("go.sum")).ok();
            let case = format!("{} {damage:?}", file.display());
            let repair = sandbox.gofix(&["cache", "repair"]).output();
            let tidy = sandbox.plain_go(&["mod", "tidy"]).output();
            if repair.code() != Some(0) || tidy.code() != Some(0) || sandbox.read("go.sum") != sums {
                failures.push(format!("{case}: {repair}\n{tidy}"));
            }
        }
    }
    expect_none(&failures);
}

#[test]
fn a_tree_head_that_can_be_read_is_never_touched() {
    let (sandbox, _proxy) = database();
    let latest = sandbox.path("gopath/pkg/sumdb/sum.example.test/latest");
    let before = fs::read(&latest).unwrap();
    let ino = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&latest).unwrap());
    sandbox.gofix(&["cache", "repair"]).output().expect_code(0);
    // Nor one of a database whose key is not known, as long as it can be read.
    let other = sandbox.path("gopath/pkg/sumdb/sum.other.test");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("latest"), &before).unwrap();
    sandbox.gofix(&["cache", "repair"]).output().expect_code(0);
    assert_eq!(fs::read(other.join("latest")).unwrap(), before);
    assert_eq!(fs::read(&latest).unwrap(), before);
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(&latest).unwrap()),
        ino
    );
}

#[test]
fn a_supervised_go_mends_its_copy_of_the_checksum_database() {
    let (sandbox, _proxy) = database();
    let latest = sandbox.path("gopath/pkg/sumdb/sum.example.test/latest");
    let top = sandbox.modcache().join("cache/download/sumdb/sum.example.test");
    let sums = sandbox.read("go.sum");
    let lookup = top.join("lookup/example.com/m007@v1.0.0");
    let tile = top.join("tile/8/0/000");
    for (file, damage) in [
        (&latest, Damage::Html),
        (&lookup, Damage::Html),
        (&lookup, Damage::Cut),
        (&tile, Damage::Cut),
        (&tile, Damage::Html),
    ] {
        damage.strike(file, Path::new(""));
        fs::remove_file(sandbox.project().join("go.sum")).unwrap();
        let run = sandbox.go(&["mod", "tidy"]).output();
        assert_eq!(run.code(), Some(0), "{} {damage:?}: {run}", file.display());
        assert_eq!(sandbox.read("go.sum"), sums);
        assert!(
            !run.gofix_lines().is_empty(),
            "{} {damage:?}: {run}",
            file.display()
        );
    }
}
