//! What browsers ask of the status page.
#![no_main]

use std::sync::LazyLock;

use flow::monitor::fuzzing::FuzzedPage;
use tempfile::TempDir;

/// The page, and its state folder.
static PAGE: LazyLock<(FuzzedPage, TempDir)> = LazyLock::new(|| {
    let state = tempfile::tempdir().expect("a folder can be made");
    (FuzzedPage::new(state.path()), state)
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    PAGE.0.asked(bytes);
});
