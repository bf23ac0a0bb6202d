//! Runs the real go: attempts, child, streams, signals.
