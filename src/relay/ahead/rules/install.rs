//! `go install M@V` and `go run M@V`: the module's zip, what it requires, and
//! whether the version was retracted, which stands in the go.mod of the highest.

use std::collections::HashSet;

use crate::go::mod_file::ModFile;
use crate::go::module::ModuleVersion;

use super::super::world::Command;
use super::{Name, Rule, Seen, World};

#[derive(Debug, Default)]
pub(super) struct Install {
    asked: HashSet<ModuleVersion>,
    /// The one whose packages are installed: the first whose zip go asks for.
    installed: Option<ModuleVersion>,
    requires: Vec<ModuleVersion>,
}

impl Rule for Install {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        if world.command != Command::Install {
            return;
        }
        match seen {
            Seen::Asked(Name::Info(module)) if self.installed.is_none() => {
                self.asked.insert(module.clone());
            }
            // Go asks for every part of the package's path; there is one that is a module.
            Seen::Came(Name::Info(module), _) if self.installed.is_none() && self.asked.contains(module) => {
                want.extend([Name::Zip(module.clone()), Name::List(module.path().to_owned())]);
            }
            Seen::Asked(Name::Zip(module)) if self.installed.is_none() => {
                self.installed = Some(module.clone());
                want.extend(self.requires.drain(..).map(Name::Zip));
            }
            Seen::Came(Name::Mod(module), text) => {
                let requires = ModFile::parse(text).unwrap_or_default().requires;
                let requires = requires
                    .iter()
                    .filter_map(|require| ModuleVersion::new(&require.path, &require.version).ok());
                match &self.installed {
                    Some(installed) if installed == module => want.extend(requires.map(Name::Zip)),
                    None if self.asked.contains(module) => self.requires = requires.collect(),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
