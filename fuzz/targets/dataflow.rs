//! Dataflow files.
#![no_main]

use flow::dataflow::fuzzing::dataflow;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(dataflow, bytes);
});
