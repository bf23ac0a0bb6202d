//! Go's own grammars: its settings, lists, module paths, proxy paths and files.

pub(crate) mod dirhash;
pub mod env;
pub(crate) mod escape;
pub(crate) mod files;
pub(crate) mod goauth;
pub mod imports;
pub(crate) mod mod_file;
pub mod module;
pub(crate) mod path;
pub(crate) mod patterns;
pub(crate) mod progress;
pub(crate) mod protocol;
pub mod proxy_list;
pub mod public;
pub(crate) mod sumdb;
pub(crate) mod sums;
pub(crate) mod tlog;
pub(crate) mod workspace;
