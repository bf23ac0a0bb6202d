//! The command line of the tool `gofix`.
