//! The state of a destination on this machine. No record of the journal has it: a response that is written there is
//! written again after a start, which costs less than a record for each.

use std::time::Duration;

/// A destination on this machine, since this process was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalDestinationState {
    /// The name by which operators call it.
    pub name: String,
    /// Responses that are not there yet.
    pub queued: usize,
    /// Responses that were written there.
    pub delivered: usize,
    /// Tries that failed.
    pub not_delivered: usize,
    /// The reason for which its last try failed.
    pub trouble: Option<String>,
    /// The first try of those that have failed without a success since, as Unix time.
    pub trouble_since: Option<Duration>,
}

/// The counts of a destination.
#[derive(Clone, Debug, Default)]
pub(super) struct DeliveryCounts {
    pub delivered: usize,
    pub not_delivered: usize,
    /// The last failure, and the time of the first one since the last success.
    pub trouble: Option<(String, Duration)>,
}

impl DeliveryCounts {
    /// Takes account of a try at a time: a success, or the trouble with it.
    pub fn note(&mut self, result: Result<(), String>, now: Duration) {
        match result {
            Ok(()) => (self.delivered, self.trouble) = (self.delivered + 1, None),
            Err(text) => {
                let since = self.trouble.take().map_or(now, |(_, since)| since);
                (self.not_delivered, self.trouble) = (self.not_delivered + 1, Some((text, since)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_lasts_from_its_first_failure_to_the_next_success() {
        let mut counts = DeliveryCounts::default();
        counts.note(Ok(()), Duration::from_secs(1));
        counts.note(Err("the disk is full".to_owned()), Duration::from_secs(2));
        counts.note(Err("no such folder".to_owned()), Duration::from_secs(3));
        assert_eq!(counts.trouble, Some(("no such folder".to_owned(), Duration::from_secs(2))));
        counts.note(Ok(()), Duration::from_secs(4));
        assert_eq!((counts.delivered, counts.not_delivered, counts.trouble), (2, 2, None));
    }
}
