//! What belongs to a zip: go looks for a package in a module's zip, then reads
//! its go.mod, and at the end asks for the `.info` of every module that it has
//! loaded a package of.

use std::collections::HashSet;

use crate::go::module::ModuleVersion;

use super::super::world::Command;
use super::{Name, Rule, Seen, World};

#[derive(Debug, Default)]
pub(super) struct Beside {
    zips: HashSet<ModuleVersion>,
    mods: HashSet<ModuleVersion>,
}

impl Rule for Beside {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        let module = match seen {
            Seen::Asked(Name::Zip(module)) => {
                self.zips.insert(module.clone());
                want.push(Name::Mod(module.clone()));
                module
            }
            Seen::Wanted(Name::Zip(module)) => {
                want.push(Name::Mod(module.clone()));
                return;
            }
            Seen::Asked(Name::Mod(module)) => {
                self.mods.insert(module.clone());
                module
            }
            _ => return,
        };
        // One that has only a part of the package's path in its own has no go.mod asked for.
        let loaded = self.zips.contains(module) && self.mods.contains(module);
        if loaded && matches!(world.project.command, Command::Packages | Command::Install) {
            want.push(Name::Info(module.clone()));
        }
    }
}
