//! The checksum database's record of a file that go.sum has no hash of, and the
//! tiles that prove it. No record is asked for before the same proxy has said that
//! it serves the database.

use super::super::tiles;
use super::{Name, Rule, Seen, World};

/// Files from before a database was known.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Records {
    early: Vec<Name>,
}

impl Rule for Records {
    fn see(&mut self, seen: Seen<'_>, world: &mut World, want: &mut Vec<Name>) {
        match seen {
            Seen::Asked(name) | Seen::Wanted(name) => {
                let (Name::Mod(module) | Name::Zip(module)) = name else {
                    return;
                };
                if world.has_sum(name) != Some(false) {
                    return;
                }
                let record = Name::Lookup(module.clone());
                if world.database.is_some() {
                    want.push(record);
                    return;
                }
                // Go verifies this file when it comes, so it will look for the database.
                if let (Seen::Asked(_), Some(sumdb)) = (seen, &world.project.sumdb)
                    && world.may_go_out(&record)
                {
                    want.push(Name::Supported(sumdb.clone()));
                }
                if self.early.len() < MOST {
                    self.early.push(record);
                }
            }
            Seen::Database => want.append(&mut self.early),
            Seen::Came(Name::Lookup(_), text) => want.extend(tiles::behind(text).into_iter().map(Name::Tile)),
            Seen::Came(..) | Seen::Zip(..) | Seen::Scanned(_) => {}
        }
    }
}
