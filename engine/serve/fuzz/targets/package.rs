#![no_main]

libfuzzer_sys::fuzz_target!(init: athanor_fuzz::begin("package"), |bytes: &[u8]| athanor_fuzz::package(bytes));
