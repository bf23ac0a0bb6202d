//! `go mod tidy`: the zips of all packages that the module and its tests need,
//! and the tests of those. These are what go.sum has a hash of; where there is
//! none yet, what go.mod requires is the greater part of them.

use super::super::world::Command;
use super::{Name, Rule, Seen, World};

/// Zips that go has asked for, from which it is seen to load packages.
const CERTAIN: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Tidy {
    zips: usize,
}

impl Rule for Tidy {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        if world.command != Command::Tidy || !matches!(seen, Seen::Asked(Name::Zip(_))) {
            return;
        }
        self.zips += 1;
        if self.zips != CERTAIN {
            return;
        }
        let direct = |indirect: bool| {
            let requires = world.main.requires.iter();
            requires.filter(move |require| require.indirect == indirect)
        };
        // What is imported by the module itself comes first.
        let required = direct(false).chain(direct(true));
        let required = required.filter_map(|require| world.asked_as(&require.path, &require.version));
        let sums = world.zips_with_sums();
        match sums.is_empty() {
            true => want.extend(required.map(Name::Zip)),
            false => {
                let first: Vec<Name> = required
                    .map(Name::Zip)
                    .filter(|zip| world.has_sum(zip) == Some(true))
                    .collect();
                want.extend(first);
                want.extend(sums.iter().cloned().map(Name::Zip));
            }
        }
    }
}
