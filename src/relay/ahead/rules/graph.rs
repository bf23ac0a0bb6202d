//! The go.mod files of the graph. A command that loads it asks for the go.mod
//! of one requirement after the other, and for no zip before.

use std::collections::HashSet;

use crate::go::mod_file::ModFile;
use crate::go::module::ModuleVersion;

use super::{Name, Rule, Seen, World};

/// Requirements whose go.mod go has asked for, from which it is seen to walk.
const CERTAIN: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Walk {
    zips: HashSet<ModuleVersion>,
    asked: HashSet<ModuleVersion>,
}

impl Rule for Walk {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        match seen {
            Seen::Asked(Name::Zip(module)) | Seen::Wanted(Name::Zip(module)) => {
                self.zips.insert(module.clone());
            }
            Seen::Asked(Name::Mod(module)) if !world.graph.begun => {
                if !self.zips.contains(module) && world.requires().any(|require| require == *module) {
                    self.asked.insert(module.clone());
                }
                let enough = CERTAIN.min(world.main.requires.len());
                if enough > 0 && self.asked.len() >= enough {
                    want.extend(world.walk_graph());
                }
            }
            Seen::Came(Name::Mod(module), text) => {
                let Some(file) = ModFile::parse(text) else {
                    return;
                };
                let requires: Vec<_> = file
                    .requires
                    .iter()
                    .filter_map(|require| world.asked_as(&require.path, &require.version))
                    .collect();
                let wanted = world.graph.add(module, &file, requires.into_iter());
                want.extend(wanted.into_iter().map(Name::Mod));
            }
            _ => {}
        }
    }
}
