//! The integration tests: one binary, one module for each part of gofix.

#[path = "../support/mod.rs"]
mod support;
mod views;
