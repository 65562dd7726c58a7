#![no_main]

libfuzzer_sys::fuzz_target!(init: athanor_fuzz::begin("grpc"), |bytes: &[u8]| athanor_fuzz::grpc(bytes));
