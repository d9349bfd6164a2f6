//! Files of a site.
#![no_main]

use flow::site::fuzzing::site;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(site, bytes);
});
