//! Troubles of the sample model server, on demand.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Troubles on demand, and how long things take. They come every so many questions, counted over all; 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelTroubles {
    /// The time before the first word.
    pub delay_ms: u64,
    /// The time before each further word.
    pub word_delay_ms: u64,
    /// Answers that take ten times as long before the first word.
    pub slow_every: u64,
    /// Questions that are not answered at all for so long.
    pub hang_every: u64,
    pub hang_ms: u64,
    /// Questions that are refused with status 503 and `Retry-After: 1`.
    pub busy_every: u64,
    /// Answers that are no answer.
    pub garbage_every: u64,
    /// Answers whose connection is closed half way.
    pub cut_off_every: u64,
    /// Every question is refused with status 500.
    pub is_down: bool,
}

/// The trouble of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelTrouble {
    None,
    Hang(Duration),
    Busy,
    Down,
    Garbage,
    CutOff,
}

/// How one question is answered.
#[derive(Clone, Copy, Debug)]
pub struct AnswerPlan {
    pub delay: Duration,
    pub word_delay: Duration,
    pub trouble: ModelTrouble,
}

impl ModelTroubles {
    /// The plan for the question of this number, from 1.
    pub fn of(&self, number: u64) -> AnswerPlan {
        let is_due = |every: u64| every > 0 && number.is_multiple_of(every);
        let trouble = match () {
            () if self.is_down => ModelTrouble::Down,
            () if is_due(self.hang_every) => ModelTrouble::Hang(Duration::from_millis(self.hang_ms)),
            () if is_due(self.busy_every) => ModelTrouble::Busy,
            () if is_due(self.garbage_every) => ModelTrouble::Garbage,
            () if is_due(self.cut_off_every) => ModelTrouble::CutOff,
            () => ModelTrouble::None,
        };
        let slow = if is_due(self.slow_every) { 10 } else { 1 };
        AnswerPlan {
            delay: Duration::from_millis(self.delay_ms * slow),
            word_delay: Duration::from_millis(self.word_delay_ms),
            trouble,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_come_as_often_as_they_are_wanted() {
        let troubles: ModelTroubles =
            serde_json::from_str(r#"{"delay_ms": 5, "slow_every": 4, "busy_every": 3, "cut_off_every": 2}"#)
                .unwrap();
        let of = |number| troubles.of(number).trouble;
        assert_eq!(
            [1, 2, 3, 4].map(of),
            [ModelTrouble::None, ModelTrouble::CutOff, ModelTrouble::Busy, ModelTrouble::CutOff]
        );
        assert_eq!((troubles.of(3).delay.as_millis(), troubles.of(4).delay.as_millis()), (5, 50));
        assert!(
            serde_json::from_str::<ModelTroubles>(r#"{"delay": 5}"#).is_err(),
            "a misspelt field is refused"
        );
    }
}
