#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gofix::fuzzing::configuration(bytes));
