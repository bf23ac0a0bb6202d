//! The configuration: defaults, files, variables, flags.
