//! The executable `gofix`.
fn main() {}
