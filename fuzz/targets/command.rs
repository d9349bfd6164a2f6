//! Command sets.
#![no_main]

use flow::dicom::fuzzing::command;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(command, bytes);
});
