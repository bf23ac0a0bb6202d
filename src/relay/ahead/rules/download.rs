//! `go mod download`: the `.info` of everything that go.mod requires, one after
//! the other, and then the zips in the same order.

use super::super::world::Command;
use super::{Name, Rule, Seen, World};

#[derive(Debug, Default)]
pub(super) struct Download {
    done: bool,
}

impl Rule for Download {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        if self.done || world.command != Command::Download || !world.graph.begun {
            return;
        }
        // Before Go 1.17 it is what is selected, and not known before the graph is.
        if !world.main.is_pruned() || !matches!(seen, Seen::Asked(_)) {
            return;
        }
        self.done = true;
        want.extend(world.requires().map(Name::Info));
        want.extend(
            world
                .requires()
                .map(Name::Zip)
                .filter(|zip| world.has_sum(zip) == Some(true)),
        );
    }
}
