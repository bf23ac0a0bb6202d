//! What go is certain to ask for, or as good as certain. One rule knows nothing
//! of another; what one of them wants, the others are told of.

mod beside;
mod download;
mod graph;
mod install;
mod likely;
mod sums;
mod tidy;
mod updates;
mod vendor;

use super::name::Name;
use super::world::World;

/// Something that a rule may draw a conclusion from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'a> {
    /// Go asks for a file.
    Asked(&'a Name),
    /// A rule wants a file.
    Wanted(&'a Name),
    /// A file is there: from a proxy, or in the module cache all the time.
    Came(&'a Name, &'a [u8]),
    /// There is a checksum database, and its name is known.
    Database,
}

/// What draws it. Rules see what happens in its order, and look at nothing else.
pub(super) trait Rule: Send {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>);
}

pub(super) fn all() -> Vec<Box<dyn Rule>> {
    vec![
        Box::<graph::Walk>::default(),
        Box::<beside::Beside>::default(),
        Box::<sums::Records>::default(),
        Box::<download::Download>::default(),
        Box::<vendor::Vendor>::default(),
        Box::<tidy::Tidy>::default(),
        Box::<updates::Updates>::default(),
        Box::<install::Install>::default(),
        Box::<likely::Likely>::default(),
    ]
}
