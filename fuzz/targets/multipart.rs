//! Media types and bodies of several parts.
#![no_main]

use flow::dicom::fuzzing::multipart;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(multipart, bytes);
});
