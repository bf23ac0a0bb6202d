//! What versions there are. `go list -m` asks for the `.info` of each selected
//! module, and with `-u` for its list of versions, the `.info` and the go.mod
//! of the highest; so does whatever looks for a newer version.

use crate::go::module::ModuleVersion;

use super::super::graph::version;
use super::super::world::Command;
use super::{Name, Rule, Seen, World};

/// Selected modules that go has asked for, from which it is seen to look at all.
const CERTAIN: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Updates {
    looked_at: usize,
    asked: std::collections::HashSet<String>,
}

impl Rule for Updates {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        match seen {
            Seen::Asked(Name::Info(module)) if world.graph.selects(module) => self.look(world, want),
            Seen::Asked(Name::List(path)) => {
                self.asked.insert(path.clone());
                if world.graph.selects_path(path) {
                    self.look(world, want);
                }
            }
            Seen::Wanted(Name::List(path)) => {
                self.asked.insert(path.clone());
            }
            Seen::Came(Name::List(path), text) if self.asked.remove(path) => {
                if matches!(world.project.command, Command::Modules { versions: true, .. }) {
                    return;
                }
                match highest(path, text) {
                    Some(module) => want.extend([Name::Info(module.clone()), Name::Mod(module)]),
                    None => want.push(Name::Latest(path.clone())),
                }
            }
            Seen::Came(Name::Latest(path), text) => {
                want.extend(named(path, text).map(Name::Mod));
            }
            _ => {}
        }
    }
}

impl Updates {
    /// Go looks at a selected module: all of them are next.
    fn look(&mut self, world: &World, want: &mut Vec<Name>) {
        self.looked_at += 1;
        let Command::Modules { updates, .. } = world.project.command else {
            return;
        };
        if self.looked_at != CERTAIN {
            return;
        }
        for module in world.graph.selected() {
            want.push(Name::Info(module.clone()));
            if updates {
                want.push(Name::List(module.path().to_owned()));
            }
        }
    }
}

/// The version that go takes for the latest of a list: the highest release,
/// else the highest that is one at all; `+incompatible` ones only where there is
/// no other.
fn highest(path: &str, list: &[u8]) -> Option<ModuleVersion> {
    let list = std::str::from_utf8(list).ok()?;
    let versions = list.lines().filter_map(|line| {
        let text = line.split_whitespace().next()?;
        let number = version(text)?;
        let rank = (number.pre.is_empty(), !text.ends_with("+incompatible"));
        Some((rank, number, text))
    });
    let (_, _, text) = versions.max()?;
    ModuleVersion::new(path, text).ok()
}

/// The version that an `@latest` names.
fn named(path: &str, text: &[u8]) -> Option<ModuleVersion> {
    #[derive(serde::Deserialize)]
    struct Latest {
        #[serde(rename = "Version")]
        version: String,
    }
    let latest: Latest = serde_json::from_slice(text).ok()?;
    ModuleVersion::new(path, &latest.version).ok()
}
