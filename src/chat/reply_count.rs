//! A bound on the replies that wait for a device: whoever sends has to take them.

use super::outgoing::Outgoing;

/// The replies that wait.
#[derive(Default)]
pub(super) struct ReplyCount {
    count: usize,
    bytes: usize,
    is_over: bool,
}

/// The most replies that wait, and their bytes.
const COUNT_MAX: usize = 2_000;
const BYTES_MAX: usize = 1 << 20;

impl ReplyCount {
    /// Counts a reply. Gives whether it may wait; once there are too many, none may.
    pub fn add(&mut self, reply: &Outgoing) -> bool {
        self.count += 1;
        self.bytes += reply.reply_bytes();
        self.is_over |= self.count > COUNT_MAX || self.bytes > BYTES_MAX;
        !self.is_over
    }

    /// Counts a reply no longer; what is no reply was not counted.
    pub fn remove(&mut self, reply: &Outgoing) {
        if reply.reply_bytes() > 0 {
            self.count = self.count.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(reply.reply_bytes());
        }
    }

    /// Whether there were too many.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::MessageRefusal;
    use super::*;

    #[test]
    fn replies_are_bounded_by_count_and_by_bytes() {
        let long = MessageRefusal::new(Some("1"), "x".repeat(60_000));
        let long = Outgoing::Refused { refusal: long, ack: None };
        let short = Outgoing::Accepted { id: "1".to_owned(), ack: None };
        for (reply, least, most) in [(long, 10, 17), (short, 1_000, COUNT_MAX)] {
            let mut replies = ReplyCount::default();
            (0..3 * COUNT_MAX).for_each(|_| {
                assert!(replies.add(&reply));
                replies.remove(&reply);
            });
            let waiting = (0..3 * COUNT_MAX).take_while(|_| replies.add(&reply)).count();
            assert!((least..=most).contains(&waiting), "{waiting}");
            replies.remove(&reply);
            assert!(replies.is_over(), "it stays so");
        }
    }
}
