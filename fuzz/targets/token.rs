//! Entries of a directory of tokens.
#![no_main]

use flow::tokens::fuzzing::token;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run_in_folder(token, bytes);
});
