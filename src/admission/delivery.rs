//! The delivery of a response to one destination, part by part, in the form that the journal keeps.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::part_answer::{PartAnswer, PartOutcome, STORED};

/// The state of a response's delivery to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// The name of the destination.
    pub destination: String,
    /// Every file is there.
    pub complete: bool,
    /// The number of tries so far.
    pub tries: usize,
    /// The files whose state is known.
    pub files: Vec<FileDelivery>,
    /// The reason why not all files could be sent, and what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
    /// The reason why there is nothing to send to this destination.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nothing_to_send: Option<String>,
}

/// The state of one file at the destination, and the destination's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDelivery {
    /// The name of the file in the response.
    pub name: String,
    /// Earlier versions of flow said only whether it is `stored`.
    #[serde(alias = "stored", deserialize_with = "state_or_stored")]
    pub state: FileState,
    /// In words: `stored`, or the status.
    pub answer: String,
    /// Further details from the destination, by name. They stand in a record beside the other keys.
    #[serde(flatten, default)]
    pub details: BTreeMap<String, String>,
    /// The answer with which the destination took the file, while the file is missing there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken: Option<String>,
    /// The number of broken connections while the file was on its way, since its last answer.
    #[serde(skip_serializing_if = "is_none", default)]
    pub broke_off: u32,
}

/// The state of one file at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// The file is at the destination.
    Stored,
    /// The file is at the destination, but not quite as it was sent.
    Warned,
    /// The file was taken; that it is at the destination is still to be verified.
    Sent,
    /// The file was taken, but verification did not find it: verified once more before it is sent again.
    Missing,
    /// The file was refused for good: it is not sent again.
    Refused,
    /// The file was not taken, or is not at the destination, and is sent again.
    Waiting,
}

impl DeliveryRecord {
    /// The state of a delivery from the records of earlier processes: the whole state after a try, and
    /// single files.
    pub fn resumed(destination: String, recorded: &[Value]) -> DeliveryRecord {
        let (complete, tries, files, trouble, nothing_to_send) = (false, 0, Vec::new(), None, None);
        let mut delivery = DeliveryRecord { destination, complete, tries, files, trouble, nothing_to_send };
        for detail in recorded {
            if let Ok(whole) = DeliveryRecord::deserialize(detail) {
                delivery = whole;
            } else if let Ok(file) = FileDelivery::deserialize(detail) {
                delivery.note(file);
            }
        }
        delivery
    }

    /// The reasons why the delivery is not complete: the trouble, and the answers to files that are missing.
    pub fn told(&self) -> String {
        let answers = self.files.iter().filter(|file| !file.is_there());
        let answers = answers.map(|file| format!("{}: {}", file.name, file.answer));
        self.trouble.iter().cloned().chain(answers).collect::<Vec<String>>().join("; ")
    }

    /// The number of broken connections while a file was on its way.
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

    /// Whether another try would change nothing: every file that is missing there was refused.
    pub fn is_decided(&self, parts: &[String]) -> bool {
        let is_open = |state: Option<FileState>| state.is_none_or(FileState::is_open);
        self.trouble.is_none() && (self.complete || self.select(parts, is_open).is_empty())
    }

    /// Whether both say the same, however many tries it took.
    pub fn says(&self, other: &DeliveryRecord) -> bool {
        self.complete == other.complete
            && self.files == other.files
            && self.trouble == other.trouble
            && self.nothing_to_send == other.nothing_to_send
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
    /// The state of a file after an answer. `broke_off` counts the connections that broke before.
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

    /// The file's state after verification. A first miss is `Missing` and not `Waiting`: some destinations
    /// find a file only a moment after they have taken it.
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

    /// Whether the destination has the file, perhaps changed.
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
