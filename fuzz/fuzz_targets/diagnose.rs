//! Any bytes, in any pieces: no panic, and the pieces change nothing.
//!
//! `cargo +nightly fuzz run diagnose`, with fixtures/noise and fixtures/logs as seeds.
#![no_main]

use gofix::diagnose::{Diagnosis, Input, Scanner, diagnose, explain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = explain(bytes);
    let _ = diagnose(&Input {
        stderr: bytes,
        stdout_json: Some(bytes),
    });
    let size = bytes.first().map_or(1, |b| usize::from(*b) + 1);
    let mut scanner = Scanner::default();
    for piece in bytes.chunks(size) {
        scanner.feed(piece);
    }
    assert_eq!(whole.diagnosis, Diagnosis::of(&scanner.finish()));
});
