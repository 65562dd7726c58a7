#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        // The runtime's panics are caught where it is called, and are an answer; one that is not caught ends the run.
        drop(std::panic::take_hook());
        athanor_fuzz::begin("onnx");
    },
    |bytes: &[u8]| athanor_fuzz::onnx(bytes)
);
