#![no_main]

libfuzzer_sys::fuzz_target!(init: athanor_fuzz::begin("oip_json"), |bytes: &[u8]| athanor_fuzz::oip_json(bytes));
