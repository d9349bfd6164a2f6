//! What became of a response at one destination, part by part: the form that the journal keeps.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::destination::STORED;
use super::{PartAnswer, PartOutcome};

/// What became of a response at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    pub destination: String,
    /// Every file is there.
    pub complete: bool,
    pub tries: usize,
    pub files: Vec<FileDelivery>,
    /// Why not all could be sent, and what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
}

/// What the destination answered for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDelivery {
    pub name: String,
    /// Earlier versions of flow said only whether it is `stored`.
    #[serde(alias = "stored", deserialize_with = "state_or_stored")]
    pub state: FileState,
    /// In words: `stored`, or the status.
    pub answer: String,
    /// More that the destination says of it, by name. These stand in a record beside the other keys.
    #[serde(flatten, default)]
    pub details: BTreeMap<String, String>,
    /// What it had answered, while it is missing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken: Option<String>,
    /// How many times it broke off while this was on its way, since it was answered.
    #[serde(skip_serializing_if = "is_none", default)]
    pub broke_off: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// It is there.
    Stored,
    /// It is there, but not quite as it was sent.
    Warned,
    /// It was taken; that it is there is still to be verified.
    Sent,
    /// It was taken, and is not there: it is looked for once more before it is sent again.
    Missing,
    /// It was not taken, and will not be: it is not sent again.
    Refused,
    /// It was not taken, or is not there, and is sent again.
    Waiting,
}

impl DeliveryRecord {
    /// Where the delivery stands after what earlier processes have recorded of it: the whole after a try,
    /// and single files.
    pub fn resumed(destination: String, recorded: &[Value]) -> DeliveryRecord {
        let (complete, tries, files, trouble) = (false, 0, Vec::new(), None);
        let mut delivery = DeliveryRecord { destination, complete, tries, files, trouble };
        for detail in recorded {
            if let Ok(whole) = DeliveryRecord::deserialize(detail) {
                delivery = whole;
            } else if let Ok(file) = FileDelivery::deserialize(detail) {
                delivery.note(file);
            }
        }
        delivery
    }

    /// Why it is not complete, in words: the trouble, or the answers of what is not there.
    pub fn told(&self) -> String {
        let answers = self.files.iter().filter(|file| !file.is_there());
        let answers = answers.map(|file| format!("{}: {}", file.name, file.answer));
        self.trouble.iter().cloned().chain(answers).collect::<Vec<String>>().join("; ")
    }

    /// How many times it broke off while a file was on its way.
    pub fn broke_off(&self, name: &str) -> u32 {
        self.files.iter().find(|file| file.name == name).map_or(0, |file| file.broke_off)
    }

    /// Puts what is known of a file in the place of what was known before. Gives whether that is anything
    /// new.
    pub fn note(&mut self, file: FileDelivery) -> bool {
        match self.files.iter_mut().find(|known| known.name == file.name) {
            Some(known) => {
                let is_new = *known != file;
                *known = file;
                is_new
            }
            None => {
                self.files.push(file);
                true
            }
        }
    }

    /// The parts that are to be sent.
    pub fn unsent<'a>(&self, parts: &'a [String]) -> Vec<&'a str> {
        self.select(parts, |state| matches!(state, None | Some(FileState::Waiting)))
    }

    /// The parts in a state.
    pub fn in_state<'a>(&self, parts: &'a [String], state: FileState) -> Vec<&'a str> {
        self.select(parts, |one| one == Some(state))
    }

    /// Sees whether all parts are there.
    pub fn judge(&mut self, parts: &[String]) {
        let there = |state| matches!(state, Some(FileState::Stored | FileState::Warned));
        self.complete = self.trouble.is_none() && self.select(parts, |state| !there(state)).is_empty();
    }

    /// Whether another try would change nothing: what is not there was refused.
    pub fn is_decided(&self, parts: &[String]) -> bool {
        let is_open = |state: Option<FileState>| state.is_none_or(FileState::is_open);
        self.trouble.is_none() && (self.complete || self.select(parts, is_open).is_empty())
    }

    /// Whether both say the same, however many tries it took.
    pub fn says(&self, other: &DeliveryRecord) -> bool {
        self.complete == other.complete && self.files == other.files && self.trouble == other.trouble
    }

    fn select<'a>(&self, parts: &'a [String], is_it: impl Fn(Option<FileState>) -> bool) -> Vec<&'a str> {
        let states: HashMap<&str, FileState> =
            self.files.iter().map(|file| (file.name.as_str(), file.state)).collect();
        let parts = parts.iter().map(String::as_str);
        parts.filter(|part| is_it(states.get(part).copied())).collect()
    }
}

impl FileState {
    /// Whether more is to be done.
    pub fn is_open(self) -> bool {
        match self {
            FileState::Sent | FileState::Missing | FileState::Waiting => true,
            FileState::Stored | FileState::Warned | FileState::Refused => false,
        }
    }
}

impl FileDelivery {
    /// What a destination answered, after it broke off so many times.
    pub fn answered(answer: PartAnswer, broke_off: u32) -> FileDelivery {
        let PartAnswer { part, outcome, text, details } = answer;
        let broke_off = if outcome == PartOutcome::Unanswered { broke_off + 1 } else { 0 };
        let state = match outcome {
            PartOutcome::Stored => FileState::Stored,
            PartOutcome::Warned => FileState::Warned,
            PartOutcome::Taken => FileState::Sent,
            PartOutcome::Refused => FileState::Refused,
            PartOutcome::Deferred | PartOutcome::Unanswered => FileState::Waiting,
        };
        FileDelivery { name: part, state, answer: text, details, taken: None, broke_off }
    }

    /// The file after it was looked for at the destination. Some need a moment until they find what they
    /// have taken.
    pub fn verified(&self, safe: Result<(), String>) -> FileDelivery {
        let taken = self.taken.as_ref().unwrap_or(&self.answer);
        let (state, answer) = match &safe {
            Ok(()) if taken == STORED => (FileState::Stored, taken.clone()),
            Ok(()) => (FileState::Warned, taken.clone()),
            Err(why) => (self.unseen(), format!("taken, and not there: {why}")),
        };
        let taken = (state == FileState::Missing).then(|| taken.clone());
        FileDelivery { state, answer, taken, ..self.clone() }
    }

    fn unseen(&self) -> FileState {
        if self.state == FileState::Missing { FileState::Waiting } else { FileState::Missing }
    }

    pub fn is_there(&self) -> bool {
        matches!(self.state, FileState::Stored | FileState::Warned)
    }
}

fn is_none(number: &u32) -> bool {
    *number == 0
}

fn state_or_stored<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<FileState, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(true) => Ok(FileState::Stored),
        Value::Bool(false) => Ok(FileState::Waiting),
        state => FileState::deserialize(state).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_earlier_versions_recorded_is_read_and_written_as_it_was() {
        let file = json!({
            "name": "1.dcm", "state": "sent", "answer": "stored", "sop_class_uid": "1.2.840", "broke_off": 2,
        });
        let read = FileDelivery::deserialize(&file).unwrap();
        assert_eq!((read.state, read.details["sop_class_uid"].as_str()), (FileState::Sent, "1.2.840"));
        assert_eq!(serde_json::to_value(&read).unwrap(), file);
        let oldest = json!({"name": "1.dcm", "stored": true, "answer": "stored"});
        assert_eq!(FileDelivery::deserialize(&oldest).unwrap().state, FileState::Stored);

        let whole = json!({
            "destination": "ORTHANC@127.0.0.1:4242", "complete": false, "tries": 2, "files": [file],
            "trouble": "nobody answers",
        });
        let resumed = DeliveryRecord::resumed("ORTHANC@127.0.0.1:4242".to_owned(), &[whole.clone(), oldest]);
        assert_eq!((resumed.tries, resumed.files.len(), resumed.files[0].state), (2, 1, FileState::Stored));
        assert_eq!(serde_json::to_value(DeliveryRecord::deserialize(&whole).unwrap()).unwrap(), whole);
    }
}
