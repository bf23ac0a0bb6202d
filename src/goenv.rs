//! The effective values of Go's own variables, read without running go.
