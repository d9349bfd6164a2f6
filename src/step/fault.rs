//! A step that could not do its work. A fault is data: it flows to the response.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a step could not do its work, in words for the person who gets the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What is wrong, a lowercase fragment: "slice 12 of 275 is missing between 31.0 and 33.0 mm".
    pub reason: String,
    /// What the reader can do: "Send the study again with all its slices."
    pub remedy: String,
}

impl Fault {
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault { reason: reason.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Fault {}
