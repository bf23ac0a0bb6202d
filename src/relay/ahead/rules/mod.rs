//! What go is certain to ask for, or as good as certain. One rule knows nothing
//! of another; what one of them wants, the others are told of.

mod beside;
mod download;
mod graph;
mod imports;
mod install;
mod sums;
mod tidy;
mod updates;
mod vendor;

use crate::go::module::ModuleVersion;
use crate::sys::spool::Body;

use super::name::Name;
use super::scan::{Found, Scan};
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
    /// A module's zip is there.
    Zip(&'a ModuleVersion, &'a Body),
    /// What packages import was read.
    Scanned(&'a Found),
    /// There is a checksum database, and its name is known.
    Database,
}

/// What draws it. Rules see what happens in its order, and look at nothing else.
pub(super) trait Rule: Send {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>);

    /// Files that are to be read off the path of go's requests.
    fn scan(&mut self, _world: &World) -> Option<Scan> {
        None
    }
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
        Box::<imports::Imports>::default(),
    ]
}
