//! Manifests of backups.
#![no_main]

use flow::backup::fuzzing::manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run_in_folder(manifest, bytes);
});
