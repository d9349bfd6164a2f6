//! What receivers are told.

use serde::{Deserialize, Serialize};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmMessage {
    /// The cause: the same when it begins and when it is over.
    pub cause: String,
    pub stage: AlarmStage,
    /// What is wrong, or was.
    pub text: String,
    /// The time at which it was noticed, in milliseconds of Unix time.
    pub since_ms: i64,
    /// The time at which it began or was over.
    pub time_ms: i64,
    /// The state folder of the flow.
    pub state: String,
}

/// Whether something has begun or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmStage {
    Begun,
    Over,
}

impl AlarmMessage {
    /// The message in a line.
    pub fn subject(&self) -> String {
        match self.stage {
            AlarmStage::Begun => format!("flow: {}", self.text),
            AlarmStage::Over => format!("flow: over: {}", self.text),
        }
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("it is made of texts and numbers")
    }
}
