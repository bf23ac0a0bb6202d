//! The modules that every scenario plays with.
//!
//! ```text
//! main -> lamp v1.2.0 -> wire v1.1.0
//! main -> bulb v1.0.0 -> lamp v1.1.0
//! ```
//!
//! `bulb` asks for an older `lamp` than there is: where the newer one cannot be looked
//! up, `go mod tidy` takes the older without a word.

use std::collections::BTreeMap;

use crate::faultproxy::{Catalogue, Module};

/// Everything that the proxies serve.
pub(super) fn catalogue() -> Catalogue {
    Catalogue::new()
        .with(Module::new("example.com/wire", "v1.0.0"))
        .with(Module::new("example.com/wire", "v1.1.0"))
        .with(Module::new("example.com/lamp", "v1.0.0"))
        .with(Module::new("example.com/lamp", "v1.1.0").requires("example.com/wire", "v1.0.0"))
        .with(
            Module::new("example.com/lamp", "v1.2.0")
                .requires("example.com/wire", "v1.1.0")
                .ballast(100_000),
        )
        .with(Module::new("example.com/bulb", "v1.0.0").requires("example.com/lamp", "v1.1.0"))
}

/// The same modules with other contents: what an altered checksum database knows.
pub(super) fn altered() -> Catalogue {
    let lamp = Module::new("example.com/lamp", "v1.2.0").requires("example.com/wire", "v1.1.0");
    catalogue().with(lamp.file("lamp.go", "package lamp // altered\n"))
}

const MAIN: &str = "\
package main

import (
\t_ \"example.com/bulb\"
\t_ \"example.com/lamp\"
)

func main() {}
";

const PINNED: &str = "\
module example.com/main

go 1.21

require (
\texample.com/bulb v1.0.0
\texample.com/lamp v1.2.0
)

require example.com/wire v1.1.0 // indirect
";

const LOOSE: &str = "module example.com/main\n\ngo 1.21\n";

/// The files of the project: for `go mod tidy` and `go get` nothing is required yet.
pub(super) fn project(go: &[String]) -> BTreeMap<String, String> {
    let loose = matches!(
        go.iter().map(String::as_str).collect::<Vec<_>>()[..],
        ["mod", "tidy", ..] | ["get", ..]
    );
    let go_mod = if loose { LOOSE } else { PINNED };
    BTreeMap::from([("main.go".into(), MAIN.into()), ("go.mod".into(), go_mod.into())])
}
