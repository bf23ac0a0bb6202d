//! The zips of what is required, for commands that load packages: which of them
//! go needs stands in the imports, and it needs most. So they are asked for as
//! go itself asks for zips, and never many more than it did.

use std::collections::{HashSet, VecDeque};

use crate::go::mod_file::ModFile;
use crate::go::module::ModuleVersion;

use super::super::world::Command;
use super::{Name, Rule, Seen, World};

/// Zips that go has asked for, from which it is seen to load packages.
const CERTAIN: usize = 2;
/// Zips that go has not come for, beyond as many as it has asked for.
const SPARE: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Likely {
    asked: usize,
    /// What is left to be asked for; `None` before it is known.
    left: Option<VecDeque<ModuleVersion>>,
    ahead: HashSet<ModuleVersion>,
    /// The module that is installed: the first whose zip is asked for.
    installed: Option<ModuleVersion>,
}

impl Rule for Likely {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        match (&world.command, seen) {
            (Command::Packages | Command::Install, Seen::Asked(Name::Zip(module))) => {
                self.asked += 1;
                self.ahead.remove(module);
                self.installed.get_or_insert_with(|| module.clone());
                if world.command == Command::Packages && self.asked == CERTAIN {
                    let zips = world.in_order_of_imports();
                    let has_sum = |zip: &ModuleVersion| world.has_sum(&Name::Zip(zip.clone())) == Some(true);
                    self.left = Some(zips.into_iter().filter(has_sum).collect());
                }
            }
            (Command::Install, Seen::Wanted(Name::Zip(module))) => {
                self.installed.get_or_insert_with(|| module.clone());
            }
            (Command::Install, Seen::Came(Name::Mod(module), text))
                if self.installed.as_ref() == Some(module) =>
            {
                let requires = ModFile::parse(text).unwrap_or_default().requires;
                let zips = requires.iter();
                let zips = zips.filter_map(|zip| ModuleVersion::new(&zip.path, &zip.version).ok());
                self.left = Some(zips.collect());
            }
            _ => return,
        }
        let left = self.left.iter_mut().flat_map(|left| left.drain(..));
        let mut left: VecDeque<_> = left.collect();
        while self.ahead.len() < self.asked + SPARE
            && let Some(zip) = left.pop_front()
        {
            if self.ahead.insert(zip.clone()) {
                want.push(Name::Zip(zip));
            }
        }
        self.left = Some(left).filter(|left| !left.is_empty());
    }
}
