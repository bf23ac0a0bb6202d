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
        if self.done || world.project.command != Command::Download || !world.graph.begun {
            return;
        }
        let modules: Vec<_> = match seen {
            Seen::Asked(_) if world.main.is_pruned() => world.requires().collect(),
            // Before Go 1.17 it is what is selected, which go knows when it asks for the first.
            Seen::Asked(Name::Info(_)) if world.graph.is_whole() => world.graph.selected().cloned().collect(),
            _ => return,
        };
        self.done = true;
        let zips = modules.iter().cloned().map(Name::Zip);
        let zips: Vec<_> = zips.filter(|zip| world.has_sum(zip) == Some(true)).collect();
        want.extend(modules.into_iter().map(Name::Info).chain(zips));
    }
}
