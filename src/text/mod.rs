//! Text from outside made fit to be shown, and figures as people write them.
//!
//! The ground floor: nothing here knows anything of the rooms above.

mod errno;
mod hex;
mod markup;
mod percent;
mod redact;
mod safe;
pub(crate) mod shell;
mod size;
mod width;

pub(crate) use errno::text as errno_text;
pub(crate) use hex::hex;
pub(crate) use markup::{html, markdown, workflow_data, workflow_property};
pub(crate) use percent::decode as percent_decode;
pub(crate) use redact::{host_of, redact, redact_queries, redact_url};
pub use safe::{MAX_BYTES, safe};
pub(crate) use size::{bytes, count, duration};
pub(crate) use width::{fit, width, wrap};
