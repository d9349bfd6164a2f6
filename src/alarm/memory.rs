//! What was told, and what is still to be told. It is in a file, so that a restart tells nothing twice.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cause::{AlarmCauses, ms};
use super::message::{AlarmMessage, AlarmStage};

/// The alarms that have begun and are not over, and the messages that receivers have not taken.
#[derive(Debug)]
pub struct AlarmMemory {
    file: PathBuf,
    state: String,
    over_after: Duration,
    kept: KeptAlarms,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KeptAlarms {
    /// By cause.
    raised: BTreeMap<String, RaisedAlarm>,
    /// By receiver, the oldest first.
    waiting: BTreeMap<String, Vec<AlarmMessage>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RaisedAlarm {
    text: String,
    since_ms: i64,
    /// The time since which its cause has been gone. It may come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone_ms: Option<i64>,
}

/// The most messages that wait for a receiver; the oldest are dropped.
const WAITING_MAX: usize = 1000;

impl AlarmMemory {
    /// The name of the file in the state folder.
    pub const FILE: &str = "alarms.json";

    /// The memory of a state folder. An alarm is over when its cause has been gone for the time `over_after`. A file that cannot be read counts as empty: something is told twice then.
    pub fn open(state: &Path, over_after: Duration) -> AlarmMemory {
        let file = state.join(AlarmMemory::FILE);
        let kept = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        AlarmMemory { file, state: state.display().to_string(), over_after, kept: kept.unwrap_or_default() }
    }

    /// The causes that have begun and are not over.
    pub fn raised(&self) -> AlarmCauses {
        self.kept.raised.iter().map(|(cause, alarm)| (cause.clone(), alarm.text.clone())).collect()
    }

    /// Takes account of what is wrong now: new causes and those that are over become messages for each receiver.
    /// A cause that comes and goes is one alarm.
    /// Returns whether there are any.
    pub fn note(&mut self, causes: &AlarmCauses, receivers: &[&str], now_ms: i64) -> bool {
        let mut messages = Vec::new();
        let message = |cause: &str, alarm: &RaisedAlarm, stage| AlarmMessage {
            cause: cause.to_owned(),
            stage,
            text: alarm.text.clone(),
            since_ms: alarm.since_ms,
            time_ms: now_ms,
            state: self.state.clone(),
        };
        for (cause, alarm) in &mut self.kept.raised {
            alarm.gone_ms = if causes.contains_key(cause) { None } else { alarm.gone_ms.or(Some(now_ms)) };
        }
        let is_over = |alarm: &RaisedAlarm| {
            alarm.gone_ms.is_some_and(|gone_ms| now_ms.saturating_sub(gone_ms) >= ms(self.over_after))
        };
        let over = self.kept.raised.iter().filter(|(_, alarm)| is_over(alarm));
        messages.extend(over.map(|(cause, alarm)| message(cause, alarm, AlarmStage::Over)));
        let is_new = |(cause, _): &(&String, &String)| !self.kept.raised.contains_key(*cause);
        let new: Vec<(String, RaisedAlarm)> = causes
            .iter()
            .filter(is_new)
            .map(|(cause, text)| {
                (cause.clone(), RaisedAlarm { text: text.clone(), since_ms: now_ms, gone_ms: None })
            })
            .collect();
        messages.extend(new.iter().map(|(cause, alarm)| message(cause, alarm, AlarmStage::Begun)));
        self.kept.raised.retain(|_, alarm| !is_over(alarm));
        self.kept.raised.extend(new);
        for receiver in receivers {
            let waiting = self.kept.waiting.entry((*receiver).to_owned()).or_default();
            waiting.extend(messages.iter().cloned());
            let too_many = waiting.len().saturating_sub(WAITING_MAX);
            waiting.drain(..too_many);
        }
        // What waits for a receiver that the site has no more is dropped.
        self.kept.waiting.retain(|receiver, _| receivers.contains(&receiver.as_str()));
        !messages.is_empty()
    }

    /// The next message for a receiver.
    pub fn next(&self, receiver: &str) -> Option<&AlarmMessage> {
        self.kept.waiting.get(receiver)?.first()
    }

    /// Takes a message of a receiver away: it was taken. It may have been dropped meanwhile.
    pub fn told(&mut self, receiver: &str, message: &AlarmMessage) {
        let waiting = self.kept.waiting.get_mut(receiver);
        if let Some(waiting) = waiting.filter(|waiting| waiting.first() == Some(message)) {
            waiting.remove(0);
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written; then a restart may tell something twice.
    pub fn save(&self) -> io::Result<()> {
        let new = self.file.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&self.kept)?)?;
        file.sync_all()?;
        fs::rename(new, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes(names: &[&str]) -> AlarmCauses {
        names.iter().map(|name| ((*name).to_owned(), format!("{name} is wrong"))).collect()
    }

    fn take(memory: &mut AlarmMemory, receiver: &str) -> Vec<(String, AlarmStage)> {
        let mut taken = Vec::new();
        while let Some(message) = memory.next(receiver).cloned() {
            memory.told(receiver, &message);
            taken.push((message.cause, message.stage));
        }
        taken
    }

    #[test]
    fn a_cause_is_told_once_and_its_end_once_also_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let mut memory = AlarmMemory::open(state.path(), Duration::ZERO);
        assert!(memory.note(&causes(&["disk"]), &["mail", "webhook"], 1));
        assert!(!memory.note(&causes(&["disk"]), &["mail", "webhook"], 2));
        assert_eq!(take(&mut memory, "mail"), [("disk".to_owned(), AlarmStage::Begun)]);
        memory.save().unwrap();
        let mut memory = AlarmMemory::open(state.path(), Duration::ZERO);
        assert!(!memory.note(&causes(&["disk"]), &["mail", "webhook"], 3), "known from before the restart");
        assert_eq!(take(&mut memory, "mail"), []);
        assert_eq!(take(&mut memory, "webhook").len(), 1, "it had not been taken");
        assert!(memory.note(&causes(&["errors"]), &["mail", "webhook"], 4));
        let expected = [("disk".to_owned(), AlarmStage::Over), ("errors".to_owned(), AlarmStage::Begun)];
        assert_eq!(take(&mut memory, "mail"), expected);
        memory.note(&causes(&["errors"]), &["mail"], 5);
        assert_eq!(memory.next("webhook"), None, "the site has no webhook any more");
    }

    #[test]
    fn a_cause_that_comes_and_goes_is_one_alarm_and_over_when_it_stays_away() {
        let state = tempfile::tempdir().unwrap();
        let mut memory = AlarmMemory::open(state.path(), Duration::from_secs(60));
        for second in 0..100 {
            let names: &[&str] = if second % 2 == 0 { &["disk"] } else { &[] };
            assert_eq!(memory.note(&causes(names), &["mail"], second * 1000), second == 0, "second {second}");
        }
        assert!(!memory.note(&causes(&[]), &["mail"], 158_999));
        assert!(memory.note(&causes(&[]), &["mail"], 159_000), "gone since second 99");
        let expected = [("disk".to_owned(), AlarmStage::Begun), ("disk".to_owned(), AlarmStage::Over)];
        assert_eq!(take(&mut memory, "mail"), expected);
    }

    #[test]
    fn a_receiver_that_is_away_gets_the_last_messages() {
        let state = tempfile::tempdir().unwrap();
        let mut memory = AlarmMemory::open(state.path(), Duration::ZERO);
        for number in 0..WAITING_MAX {
            memory.note(&causes(&[&format!("cause {number}")]), &["mail"], 0);
        }
        let taken = take(&mut memory, "mail");
        assert_eq!(taken.len(), WAITING_MAX);
        assert_eq!(taken.last().unwrap().0, format!("cause {}", WAITING_MAX - 1));
    }
}
