//! A token: what it stands for, where its data lie, and the log of what happened to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::step::{Digest, Payload};

/// A token. Keys that flow does not know are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageToken {
    /// The name of the thing, for example the barcode of a book: the name of the file without `.json`.
    pub barcode: String,
    /// The places of its data, by what they are: `encrypted`, `archive`, `stored`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locations: BTreeMap<String, LocatedFile>,
    /// The seconds after which the same stage is to look again, if it was not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_again_s: Option<u64>,
    /// How often it has waited in a row without getting on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waits: u32,
    /// The log, oldest entry first.
    #[serde(default)]
    pub log: Vec<TokenEntry>,
    /// All other keys.
    #[serde(flatten)]
    pub others: BTreeMap<String, Json>,
}

/// A file or folder of a token's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocatedFile {
    pub path: PathBuf,
    /// The digest of its bytes, or of the list of its files.
    pub digest: Digest,
    pub bytes: u64,
}

/// An entry of a token's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEntry {
    /// The time, as RFC 3339 in UTC.
    pub at: String,
    /// The name of the stage.
    pub stage: String,
    pub event: TokenEvent,
    /// The worker: host, process, and a number that is new with each start.
    pub by: String,
    /// The version of the stage: the digest of its step and settings, as short as it is shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The digest of what the stage has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The place where the token goes, relative to the folder of all stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The reason of a fault or a wait, and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// The kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenEvent {
    /// The token was made.
    Chosen,
    /// The work of the stage is done.
    Done,
    /// The stage was not ready for it.
    Waits,
    /// A fault: it is parked.
    Failed,
    /// Its worker was lost; another one has it.
    TakenOver,
    /// A parked token was put back.
    Retried,
}

impl StageToken {
    /// A token without data.
    pub fn of(barcode: impl Into<String>) -> StageToken {
        StageToken { barcode: barcode.into(), ..StageToken::default() }
    }

    /// The token with a place of its data.
    #[must_use]
    pub fn at(mut self, what: &str, file: LocatedFile) -> StageToken {
        self.locations.insert(what.to_owned(), file);
        self
    }

    /// The form on disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("keys of a token are texts");
        bytes.push(b'\n');
        bytes
    }
}

impl Payload for StageToken {
    const TYPE: &'static str = "token";

    fn bytes_in_memory(&self) -> usize {
        size_of::<StageToken>() + 256 * (self.log.len() + self.locations.len())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use crate::step::Value;

    use super::*;

    #[test]
    fn a_token_keeps_what_it_does_not_know_on_disk_and_between_steps() {
        let text = r#"{"barcode":"ark.88435.x1","log":[],"shelf":{"row":3},"when":"today"}"#;
        let token: StageToken = serde_json::from_str(text).unwrap();
        assert_eq!(token.others["shelf"]["row"], 3);
        let again: StageToken = serde_json::from_slice(&token.to_bytes()).unwrap();
        assert_eq!(again, token);
        let value = Value::new(token.clone());
        let read = Value::read::<StageToken>(&value.to_bytes(), &|_| None).unwrap();
        assert_eq!(read.get::<StageToken>(), Some(&token));
    }
}
