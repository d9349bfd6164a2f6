//! Packets of clients of the chat.
#![no_main]

use flow::chat::fuzzing::packets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(packets, bytes);
});
