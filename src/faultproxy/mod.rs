//! A module proxy on loopback that fails as it is told to.
//!
//! `gofix rehearse` shows with it what gofix does in a bad network, and the tests
//! use the same one. It serves modules made in memory and a checksum database with
//! a key of its own, and spoils the answers that its rules pick out:
//!
//! ```no_run
//! use gofix::faultproxy::{Catalogue, Fault, FaultProxy, Kind, Module, Rule, SumDb};
//!
//! let catalogue = Catalogue::new()
//!     .with(Module::new("example.com/a", "v1.0.0").requires("example.com/b", "v1.1.0"))
//!     .with(Module::new("example.com/b", "v1.0.0"))
//!     .with(Module::new("example.com/b", "v1.1.0"));
//! let proxy = FaultProxy::builder(catalogue.clone())
//!     .sumdb(SumDb::new("sum.example.test", &catalogue))
//!     .rule(Rule::new(Fault::ResetBody { after: None }).on(Kind::Zip).module("example.com/b").first(2))
//!     .start()?;
//! // GOPROXY=proxy.url() GOSUMDB=proxy.gosumdb()
//! assert!(proxy.requests().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Each proxy has a thread of its own and a port of its own on 127.0.0.1, and ends
//! when its handle is dropped. HTTP/1.1 is written by hand, so that a fault is exact
//! to the byte; HTTP/2 is offered over TLS.
//!
//! Known limitations: whether a connection attempt can be left unanswered
//! ([`Door::Blackhole`]) depends on the kernel's accept queue and is sure on Linux only.

mod answer;
mod catalogue;
mod fault;
mod h1;
mod h2;
mod log;
mod server;
mod shared;
mod sumdb;
mod wire;

pub use catalogue::{Catalogue, Module, Packed};
pub use fault::{Asked, Fault, Framing, Kind, Rule, When};
pub use log::Request;
pub use server::{Builder, FaultProxy, Tls};
pub use shared::Door;
pub use sumdb::{Reply, SumDb};
