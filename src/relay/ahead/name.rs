//! What can be asked for ahead, by name.

use crate::go::escape::escape;
use crate::go::module::ModuleVersion;
use crate::go::protocol::{Kind, Wanted};

/// A file of a module proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    List(String),
    Latest(String),
    Info(ModuleVersion),
    Mod(ModuleVersion),
    Zip(ModuleVersion),
    /// Whether the proxy serves the checksum database of this name.
    Supported(String),
    /// A record of the checksum database.
    Lookup(ModuleVersion),
    /// A tile of the checksum database: what stands behind `tile/`.
    Tile(String),
}

impl Name {
    /// What go wants; `None` for what is never asked for ahead.
    pub(crate) fn of(wanted: &Wanted) -> Option<Self> {
        let version = || ModuleVersion::new(wanted.module.as_ref()?, wanted.version.as_ref()?).ok();
        Some(match wanted.kind {
            Kind::List => Self::List(wanted.module.clone()?),
            Kind::Latest => Self::Latest(wanted.module.clone()?),
            Kind::Info => Self::Info(version()?),
            Kind::Mod => Self::Mod(version()?),
            Kind::Zip => Self::Zip(version()?),
            Kind::SumdbLookup => Self::Lookup(version()?),
            Kind::SumdbTile(_) => Self::Tile(wanted.path.split_once("/tile/")?.1.to_owned()),
            Kind::SumdbSupported => {
                let name = wanted.path.strip_prefix("sumdb/")?.strip_suffix("/supported")?;
                Self::Supported(name.to_owned())
            }
            Kind::SumdbLatest | Kind::Other => return None,
        })
    }

    /// The path of the module that a proxy learns of.
    pub(crate) fn module(&self) -> Option<&str> {
        match self {
            Self::List(path) | Self::Latest(path) => Some(path),
            Self::Info(module) | Self::Mod(module) | Self::Zip(module) | Self::Lookup(module) => {
                Some(module.path())
            }
            Self::Supported(_) | Self::Tile(_) => None,
        }
    }

    /// Whether the version is one that the module's path may have: `/v2` and
    /// `.v2` have v2 alone. Go asks for no other.
    pub(crate) fn fits(&self) -> bool {
        let (Self::Info(module) | Self::Mod(module) | Self::Zip(module) | Self::Lookup(module)) = self else {
            return true;
        };
        let version = module.version();
        let major = version.split('.').next().unwrap_or_default();
        let compatible = !version.ends_with("+incompatible");
        let (path, last) = module
            .path()
            .rsplit_once('/')
            .unwrap_or_else(|| ("", module.path()));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty();
        if path == "gopkg.in" || path.starts_with("gopkg.in/") {
            let wanted = last.trim_end_matches("-unstable").rsplit_once('.');
            return compatible
                && wanted.is_some_and(|(_, wanted)| wanted == major || (wanted, major) == ("v1", "v0"));
        }
        match last.strip_prefix('v').filter(|number| is_number(number)) {
            Some(_) => compatible && last == major,
            None => matches!(major, "v0" | "v1") == compatible,
        }
    }

    pub(crate) fn is_sumdb(&self) -> bool {
        matches!(self, Self::Lookup(_) | Self::Tile(_))
    }

    pub(crate) fn is_zip(&self) -> bool {
        matches!(self, Self::Zip(_))
    }

    /// The request for it, as go makes it. `database` is the checksum database's name.
    pub(crate) fn wanted(&self, database: &str) -> Option<Wanted> {
        Wanted::parse(&self.below(database).replace('!', "%21"))
    }

    /// Its place in the module cache, below `cache/download`, where it is kept there.
    pub(crate) fn in_cache(&self, database: &str) -> Option<String> {
        match self {
            // Go asks for these every time.
            Self::List(_) | Self::Latest(_) | Self::Supported(_) => None,
            _ => Some(self.below(database)),
        }
    }

    fn below(&self, database: &str) -> String {
        let file = |module: &ModuleVersion, ending: &str| {
            format!(
                "{}/@v/{}.{ending}",
                escape(module.path()),
                escape(module.version())
            )
        };
        match self {
            Self::List(path) => format!("{}/@v/list", escape(path)),
            Self::Latest(path) => format!("{}/@latest", escape(path)),
            Self::Info(module) => file(module, "info"),
            Self::Mod(module) => file(module, "mod"),
            Self::Zip(module) => file(module, "zip"),
            Self::Supported(name) => format!("sumdb/{name}/supported"),
            Self::Lookup(module) => format!(
                "sumdb/{database}/lookup/{}@{}",
                escape(module.path()),
                escape(module.version())
            ),
            Self::Tile(tile) => format!("sumdb/{database}/tile/{tile}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_made_ahead_is_the_one_that_go_makes() {
        for path in [
            "a.b/c/@v/list",
            "a.b/%21c/@latest",
            "a.b/c/@v/v1.0.0+incompatible.info",
            "a.b/%21c/@v/v1.0.0-%21r%21c1.mod",
            "a.b/c/@v/v0.0.0-20200101000000-abcdefabcdef.zip",
            "sumdb/sum.example/lookup/a.b/%21c@v1.0.0",
            "sumdb/sum.example/supported",
            "sumdb/sum.example/tile/8/0/x001/234.p/7",
        ] {
            let wanted = Wanted::parse(path).unwrap();
            let name = Name::of(&wanted).unwrap();
            assert_eq!(name.wanted("sum.example"), Some(wanted), "{path}");
        }
        for path in ["a.b/c/@v/master.info", "sumdb/s/latest", "a.b/c"] {
            assert_eq!(Name::of(&Wanted::parse(path).unwrap()), None, "{path}");
        }
    }

    #[test]
    fn versions_that_a_path_may_have() {
        let fits = |path: &str, version: &str| Name::Mod(ModuleVersion::new(path, version).unwrap()).fits();
        for (path, version) in [
            ("a.b/c", "v1.2.3"),
            ("a.b/c", "v0.0.0-20200101000000-abcdefabcdef"),
            ("a.b/c", "v2.0.0+incompatible"),
            ("a.b/c/v2", "v2.0.0"),
            ("a.b/v12", "v12.0.0-rc.1"),
            ("gopkg.in/yaml.v3", "v3.0.1"),
            ("gopkg.in/u/x.v1", "v0.0.0-20200101000000-abcdefabcdef"),
        ] {
            assert!(fits(path, version), "{path} {version}");
        }
        for (path, version) in [
            ("a.b/c", "v2.0.0"),
            ("a.b/c", "v1.0.0+incompatible"),
            ("a.b/c/v2", "v1.0.0"),
            ("a.b/c/v2", "v3.0.0+incompatible"),
            ("gopkg.in/yaml.v3", "v2.0.0"),
        ] {
            assert!(!fits(path, version), "{path} {version}");
        }
    }
}
