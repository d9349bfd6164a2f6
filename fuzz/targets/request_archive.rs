//! Exported requests.
#![no_main]

use flow::replay::fuzzing::archive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run_in_folder(archive, bytes);
});
