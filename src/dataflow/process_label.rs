//! Labels of processes: a step says `on: LABEL` to run on a process that has it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A label of processes, such as `big-memory`: small letters and digits, words joined by hyphens.
///
/// ```
/// use flow::dataflow::ProcessLabel;
///
/// assert!("big-memory".parse::<ProcessLabel>().is_ok());
/// assert!("Big memory".parse::<ProcessLabel>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessLabel(String);

/// A text that is no label of processes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no label: write small letters and digits, words joined by hyphens, such as big-memory")]
pub struct ProcessLabelError(String);

impl ProcessLabel {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessLabel {
    type Err = ProcessLabelError;

    fn from_str(text: &str) -> Result<ProcessLabel, ProcessLabelError> {
        ProcessLabel::try_from(text.to_owned())
    }
}

impl TryFrom<String> for ProcessLabel {
    type Error = ProcessLabelError;

    fn try_from(text: String) -> Result<ProcessLabel, ProcessLabelError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_label = text.split('-').all(|word| !word.is_empty() && word.chars().all(plain));
        if is_label { Ok(ProcessLabel(text)) } else { Err(ProcessLabelError(text)) }
    }
}

impl From<ProcessLabel> for String {
    fn from(label: ProcessLabel) -> String {
        label.0
    }
}

impl fmt::Display for ProcessLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
