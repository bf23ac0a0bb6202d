//! `go mod tidy`: the zips of all packages that the module and its tests need,
//! and the tests of those. These are what go.sum has a hash of and the graph
//! selects; where there is none yet, what go.mod requires is the greater part.

use super::super::world::Command;
use super::{Name, Rule, Seen, World};

/// Zips that go has asked for, from which it is seen to load packages.
const CERTAIN: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Tidy {
    zips: usize,
    done: bool,
}

impl Rule for Tidy {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        if world.project.command != Command::Tidy || self.done {
            return;
        }
        if matches!(seen, Seen::Asked(Name::Zip(_))) {
            self.zips += 1;
            if self.zips == CERTAIN {
                let known = !world.zips_with_sums().is_empty();
                let zips = world.in_order_of_imports().into_iter().map(Name::Zip);
                want.extend(zips.filter(|zip| !known || world.has_sum(zip) == Some(true)));
                if !world.graph.begun {
                    want.extend(world.walk_graph());
                }
            }
        }
        // What go.sum still has of other days is in no graph, and nobody is told its name.
        if self.zips >= CERTAIN && world.graph.is_whole() {
            self.done = true;
            let zips = world.zips_with_sums().iter();
            want.extend(
                zips.filter(|zip| world.graph.selects(zip))
                    .cloned()
                    .map(Name::Zip),
            );
        }
    }
}
