//! The executable `go`.
fn main() {}
