#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nexus_fuzz_targets::schemas(bytes));
