//! Data sets and the heads of files.
#![no_main]

use flow::dicom::fuzzing::data_set;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(data_set, bytes);
});
