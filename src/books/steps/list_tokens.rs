//! `list-tokens`: writes tokens as a file of the response, a JSON array.

use crate::step::{BuiltIn, ResponseFile, ResponseFiles, Step, StepOutputs};
use crate::tokens::StageToken;

/// The name of the file.
pub const TOKENS_FILE: &str = "tokens.json";

fn step() -> Step {
    Step::new("list-tokens", 1, "Writes all tokens as a JSON array.")
        .takes_each::<StageToken>("tokens")
        .gives::<ResponseFiles>("files")
        .runs(|call| {
            let tokens = call.each::<StageToken>("tokens");
            let bytes = serde_json::to_vec(&tokens).expect("keys of a token are texts");
            let file = ResponseFile::new(TOKENS_FILE, "application/json", bytes);
            Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
        })
}

inventory::submit! { BuiltIn(step) }
