//! `go mod vendor`: the packages along their imports, and then the `.info` of
//! everything that go.mod requires, one after the other.

use super::super::world::Command;
use super::{Name, Rule, Seen, World};

/// Zips that go has asked for, from which it is seen to load packages.
const CERTAIN: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Vendor {
    zips: usize,
}

impl Rule for Vendor {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        if world.project.command != Command::Vendor || !matches!(seen, Seen::Asked(Name::Zip(_))) {
            return;
        }
        self.zips += 1;
        if self.zips == CERTAIN {
            want.extend(world.requires().map(Name::Info));
            want.extend(
                world
                    .requires()
                    .map(Name::Zip)
                    .filter(|zip| world.has_sum(zip) == Some(true)),
            );
        }
    }
}
