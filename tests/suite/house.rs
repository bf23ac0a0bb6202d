//! The drawing of ARCHITECTURE.md, held against the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn every_crate_stands_in_the_table_and_no_other() {
    let manifest: toml_edit::DocumentMut = read("Cargo.toml").parse().unwrap();
    let mut used = BTreeSet::new();
    let mut add = |table: Option<&toml_edit::Item>| {
        let table = table.and_then(toml_edit::Item::as_table_like);
        used.extend(
            table
                .into_iter()
                .flat_map(|table| table.iter().map(|(name, _)| name.to_owned())),
        );
    };
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        add(manifest.get(kind));
        let targets = manifest.get("target").and_then(toml_edit::Item::as_table_like);
        for (_, target) in targets.into_iter().flat_map(|targets| targets.iter()) {
            add(target.get(kind));
        }
    }
    used.remove("gofix-shim");
    let text = read("ARCHITECTURE.md");
    let table = text.split("## Crates").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let named: BTreeSet<String> = rows
        .filter_map(|row| row.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = used.difference(&named).collect();
    let gone: Vec<_> = named.difference(&used).collect();
    assert!(
        missing.is_empty(),
        "in Cargo.toml and not in the table: {missing:?}"
    );
    assert!(gone.is_empty(), "in the table and not in Cargo.toml: {gone:?}");
}
