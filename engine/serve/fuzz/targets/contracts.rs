#![no_main]

libfuzzer_sys::fuzz_target!(init: athanor_fuzz::begin("contracts"), |bytes: &[u8]| athanor_fuzz::contracts(bytes));
