//! What a program of steps says and writes.
#![no_main]

use flow::program::fuzzing::said;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(said, bytes);
});
