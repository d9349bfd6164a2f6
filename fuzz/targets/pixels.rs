//! Pixels that our own decoders decode.
#![no_main]

use flow::dicom::fuzzing::pixels;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(pixels, bytes);
});
