//! The integration tests: one binary, one module for each part of gofix.

mod diagnose;
mod dial;
mod dropin;
mod fault_proof;
mod faultproxy;
mod fleet;
mod git_asked;
mod go_requests;
mod go_strings;
mod goauth;
mod house;
mod install;
mod machines;
mod managers;
mod many_machines;
mod otel;
mod panics;
mod people;
mod rehearse;
mod relay;
mod relay_ahead;
mod relay_limits;
mod repair;
mod second_host;
mod secrets;
mod shim;
mod signals;
mod soak;
mod startup;
mod supervise;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod two_athens;
mod views;
mod wait_for_release;
