//! A bound on the events that wait for a device, in number and in bytes. One that stays away, or reads slowly, finds the
//! others in the log.

use std::collections::VecDeque;

use super::outgoing::Outgoing;

/// The events that wait.
#[derive(Default)]
pub(super) struct EventCount {
    count: usize,
    bytes: usize,
}

/// The most events that wait in memory for a device.
pub(super) const EVENTS_MAX: usize = 64;

/// The bytes of events beyond which no further one waits, and no further one is read in the log.
pub(super) const EVENT_BYTES_MAX: usize = 256 << 10;

impl EventCount {
    /// Whether a further event may wait.
    pub fn has_room(&self) -> bool {
        self.count < EVENTS_MAX && self.bytes < EVENT_BYTES_MAX
    }

    /// Queues an event, and counts it.
    pub fn queue(&mut self, event: Outgoing, queue: &mut VecDeque<Outgoing>) {
        self.count += 1;
        self.bytes += bytes_of(&event);
        queue.push_back(event);
    }

    /// Counts it no longer.
    pub fn remove(&mut self, event: &Outgoing) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes_of(event));
    }
}

fn bytes_of(event: &Outgoing) -> usize {
    match event {
        Outgoing::Event(event) => event.bytes(),
        Outgoing::Partial { text, .. } => size_of::<Outgoing>() + text.len(),
        Outgoing::Accepted { .. } | Outgoing::Refused { .. } | Outgoing::Seen { .. } => size_of::<Outgoing>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_room_up_to_a_number_and_up_to_a_size() {
        let partial = |bytes: usize| Outgoing::Partial {
            conversation: "c".into(),
            answers: "1".into(),
            text: "x".repeat(bytes).into(),
        };
        let fit = |one: &Outgoing| {
            let (mut count, mut fitting) = (EventCount::default(), 0);
            while count.has_room() {
                count.queue(one.clone(), &mut VecDeque::new());
                fitting += 1;
            }
            fitting
        };
        assert_eq!(fit(&partial(10)), EVENTS_MAX);
        assert_eq!(fit(&partial(EVENT_BYTES_MAX / 4)), 4);
        assert_eq!(fit(&partial(EVENT_BYTES_MAX * 4)), 1, "one of any size");
        let mut count = EventCount::default();
        count.queue(partial(EVENT_BYTES_MAX), &mut VecDeque::new());
        assert!(!count.has_room());
        count.remove(&partial(EVENT_BYTES_MAX));
        assert!(count.has_room());
    }
}
