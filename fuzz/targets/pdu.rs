//! Associations, from their first byte on.
#![no_main]

use flow::dicom::fuzzing::association;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run_in_folder(association, bytes);
});
