//! `go install M@V` and `go run M@V`: the module's zip, and whether the version
//! was retracted, which stands in the go.mod of the highest.

use std::collections::HashSet;

use crate::go::module::ModuleVersion;

use super::super::world::Command;
use super::{Name, Rule, Seen, World};

/// The version of go from which it looks whether what it installs was retracted.
const ASKS_FOR_RETRACTIONS: u32 = 23;

#[derive(Debug, Default)]
pub(super) struct Install {
    asked: HashSet<ModuleVersion>,
    /// Go has found the module and asks for its zip.
    installed: bool,
}

impl Rule for Install {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        if world.project.command != Command::Install {
            return;
        }
        match seen {
            Seen::Asked(Name::Info(module)) if !self.installed => {
                self.asked.insert(module.clone());
            }
            // Go asks for every part of the package's path; there is one that is a module.
            Seen::Came(Name::Info(module), _) if !self.installed && self.asked.contains(module) => {
                want.push(Name::Zip(module.clone()));
                let minor = world.packages.as_ref().and_then(|packages| packages.tags.minor);
                if minor.is_some_and(|minor| minor >= ASKS_FOR_RETRACTIONS) {
                    want.push(Name::List(module.path().to_owned()));
                }
            }
            Seen::Asked(Name::Zip(_)) => self.installed = true,
            _ => {}
        }
    }
}
