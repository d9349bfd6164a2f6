//! Answers of language models.
#![no_main]

use flow::chat::fuzzing::model_answer;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flow_fuzz::run(model_answer, bytes);
});
