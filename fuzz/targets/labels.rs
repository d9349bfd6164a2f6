//! Label maps of other programs.
#![no_main]

use flow::imaging::fuzzing::labels;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(labels, bytes);
});
