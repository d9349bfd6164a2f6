//! Pixels that openjp2 decodes: its panics are caught and no find, those of others are.
#![no_main]

use flow::dicom::fuzzing::jpeg_2000;

libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| {
        flow_fuzz::run(jpeg_2000, bytes);
    }
);
