//! Frames of a process of a cluster.
#![no_main]

use flow::cluster::fuzzing::frames;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(frames, bytes);
});
