//! The requests that a process was sent over a connection for their steps: each is sent once, and further orders name it
//! by its key. Both ends add the same requests in the same order, so that both know which have made room for others.

use std::collections::VecDeque;

use crate::engine::RemoteRequestKey;

/// The most requests that are kept for further steps.
const TOLD_MAX: usize = 256;

pub struct ToldRequests<T>(VecDeque<(RemoteRequestKey, T)>);

impl<T> Default for ToldRequests<T> {
    fn default() -> ToldRequests<T> {
        ToldRequests(VecDeque::new())
    }
}

impl<T> ToldRequests<T> {
    pub fn get(&self, key: &RemoteRequestKey) -> Option<&T> {
        self.0.iter().find(|(told, _)| told == key).map(|(_, kept)| kept)
    }

    /// Adds a request. The one that was added first makes room where there are too many.
    pub fn add(&mut self, key: RemoteRequestKey, kept: T) {
        self.0.retain(|(told, _)| *told != key);
        self.0.push_back((key, kept));
        if self.0.len() > TOLD_MAX {
            self.0.pop_front();
        }
    }

    /// Forgets all: another connection begins.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Digest;

    #[test]
    fn the_oldest_makes_room_and_both_ends_agree() {
        let key = |number: usize| {
            let digest = Digest::of(&number.to_be_bytes());
            RemoteRequestKey { number: number as i64, request: digest, version: digest }
        };
        let (mut near, mut far) = (ToldRequests::default(), ToldRequests::default());
        let mut sent = 0;
        // Each request is asked for twice in a row, and the first ones once more at the end.
        for number in (0..TOLD_MAX + 10).flat_map(|number| [number, number]).chain(0..10) {
            if near.get(&key(number)).is_none() {
                near.add(key(number), ());
                far.add(key(number), number);
                sent += 1;
            }
            assert_eq!(far.get(&key(number)), Some(&number));
        }
        assert_eq!(sent, TOLD_MAX + 20);
        near.clear();
        assert!(near.get(&key(0)).is_none());
    }
}
