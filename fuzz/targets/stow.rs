//! Bodies of several parts, let in.
#![no_main]

use flow::dicom::fuzzing::stow;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run_in_folder(stow, bytes);
});
