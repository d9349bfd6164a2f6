//! What became of a response at one destination, file by file.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataflow::Response;
use crate::dicom::{Outcome, Sent};
use crate::step::Artifact;

/// What became of a response at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
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
    /// Empty where it could not be read.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub sop_class_uid: String,
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

const STORED: &str = "stored";

impl Delivery {
    /// Where the delivery stands after what earlier processes have recorded of it: the whole after a try,
    /// and single files.
    pub fn resumed(destination: String, recorded: &[Value]) -> Delivery {
        let (complete, tries, files, trouble) = (false, 0, Vec::new(), None);
        let mut delivery = Delivery { destination, complete, tries, files, trouble };
        for detail in recorded {
            if let Ok(whole) = Delivery::deserialize(detail) {
                delivery = whole;
            } else if let Ok(file) = FileDelivery::deserialize(detail) {
                delivery.note(file);
            }
        }
        delivery
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

    /// The files that are to be sent.
    pub fn unsent<'a>(&self, response: &'a Response) -> Vec<&'a Artifact> {
        self.that(response, |state| matches!(state, None | Some(FileState::Waiting)))
    }

    /// Those in a state.
    pub fn in_state<'a>(&self, response: &'a Response, state: FileState) -> Vec<&'a Artifact> {
        self.that(response, |one| one == Some(state))
    }

    /// Sees whether all is there.
    pub fn judge(&mut self, response: &Response) {
        let there = |state| matches!(state, Some(FileState::Stored | FileState::Warned));
        self.complete = self.trouble.is_none() && self.that(response, |state| !there(state)).is_empty();
    }

    /// Whether another try would change nothing: what is not there was refused.
    pub fn is_decided(&self, response: &Response) -> bool {
        let is_open = |state: Option<FileState>| state.is_none_or(FileState::is_open);
        self.trouble.is_none() && (self.complete || self.that(response, is_open).is_empty())
    }

    /// Whether both say the same, however many tries it took.
    pub fn says(&self, other: &Delivery) -> bool {
        self.complete == other.complete && self.files == other.files && self.trouble == other.trouble
    }

    fn that<'a>(
        &self,
        response: &'a Response,
        is_it: impl Fn(Option<FileState>) -> bool,
    ) -> Vec<&'a Artifact> {
        let states: std::collections::HashMap<&str, FileState> =
            self.files.iter().map(|file| (file.name.as_str(), file.state)).collect();
        let dicom = response.files.iter().filter(|file| file.media_type == "application/dicom");
        dicom.filter(|file| is_it(states.get(file.name.as_str()).copied())).collect()
    }
}

impl FileState {
    /// Whether more is to be done.
    pub(super) fn is_open(self) -> bool {
        match self {
            FileState::Sent | FileState::Missing | FileState::Waiting => true,
            FileState::Stored | FileState::Warned | FileState::Refused => false,
        }
    }
}

impl FileDelivery {
    /// What a destination answered, after it broke off so many times.
    pub fn answered(sent: Sent, is_to_be_verified: bool, broke_off: u32) -> FileDelivery {
        let broke_off = if sent.outcome == Outcome::Unanswered { broke_off + 1 } else { 0 };
        let state = match &sent.outcome {
            Outcome::Stored | Outcome::Warned { .. } if is_to_be_verified => FileState::Sent,
            Outcome::Stored => FileState::Stored,
            Outcome::Warned { .. } => FileState::Warned,
            Outcome::Refused { status, .. } if status.may_pass() => FileState::Waiting,
            Outcome::Unanswered => FileState::Waiting,
            Outcome::Refused { .. } | Outcome::NotTaken { .. } | Outcome::NotConverted { .. } => {
                FileState::Refused
            }
        };
        let (answer, sop_class_uid) = (sent.outcome.to_string(), sent.sop_class_uid);
        FileDelivery { name: sent.name, state, answer, sop_class_uid, taken: None, broke_off }
    }

    pub fn refused(name: &str, answer: String) -> FileDelivery {
        FileDelivery {
            name: name.to_owned(),
            state: FileState::Refused,
            answer,
            sop_class_uid: String::new(),
            taken: None,
            broke_off: 0,
        }
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
