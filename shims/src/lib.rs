//! The program that stands in `PATH` under the name `go`.
