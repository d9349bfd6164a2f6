//! The values of requests that other processes have in stores of their own, as far as it is known here: a step goes to
//! the process that has most of its inputs.
//!
//! A process forgets values that it has not used for a while, and does not say so: then they are brought again.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::remote_request::RemoteRequestKey;
use super::remote_step::StepValue;
use super::step_processes::RemotePeer;

/// The most requests of which it is remembered.
const REQUESTS_MAX: usize = 256;

/// A connection to a process: its index and generation.
type PeerConnection = (usize, u64);

/// The values by request and process.
#[derive(Default)]
pub struct HeldValues(VecDeque<(RemoteRequestKey, BTreeMap<PeerConnection, HashSet<StepValue>>)>);

impl HeldValues {
    /// Notes that a process has values of a request. The request that was noted first makes room where there are too many.
    pub fn note(
        &mut self,
        request: &RemoteRequestKey,
        connection: PeerConnection,
        values: impl IntoIterator<Item = StepValue>,
    ) {
        if self.0.iter().all(|(known, _)| known != request) {
            self.0.push_back((*request, BTreeMap::new()));
            if self.0.len() > REQUESTS_MAX {
                self.0.pop_front();
            }
        }
        if let Some((_, held)) = self.0.iter_mut().rev().find(|(known, _)| known == request) {
            held.entry(connection).or_default().extend(values);
        }
    }

    /// The bytes of these values of a request that a process does not have. One that sees the store has all.
    pub fn lacking(&self, request: &RemoteRequestKey, peer: &RemotePeer, needed: &[(StepValue, u64)]) -> u64 {
        if peer.shares_store {
            return 0;
        }
        let of_request = self.0.iter().rev().find(|(known, _)| known == request);
        let held = of_request.and_then(|(_, held)| held.get(&(peer.process, peer.generation)));
        let lacks = |value: &StepValue| held.is_none_or(|held| !held.contains(value));
        needed.iter().filter(|(value, _)| lacks(value)).map(|(_, bytes)| bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Digest;

    #[test]
    fn values_are_those_of_a_request_and_a_connection() {
        let digest = Digest::of(b"a");
        let request = |number| RemoteRequestKey { number, request: digest, version: digest };
        let peer = |process, generation, shares_store| RemotePeer {
            process,
            generation,
            workers: 1,
            memory: 0,
            taken: 0,
            load: 0,
            shares_store,
        };
        let needed = [(StepValue::Stored(digest), 5), (StepValue::Item(0), 3)];
        let mut held = HeldValues::default();
        assert_eq!(held.lacking(&request(1), &peer(1, 1, false), &needed), 8);
        assert_eq!(held.lacking(&request(1), &peer(1, 1, true), &needed), 0);
        held.note(&request(1), (1, 1), [StepValue::Stored(digest)]);
        assert_eq!(held.lacking(&request(1), &peer(1, 1, false), &needed), 3);
        held.note(&request(1), (1, 1), [StepValue::Item(0), StepValue::Item(1)]);
        assert_eq!(held.lacking(&request(1), &peer(1, 1, false), &needed), 0);
        for other in [
            (request(1), peer(1, 2, false)),
            (request(1), peer(2, 1, false)),
            (request(2), peer(1, 1, false)),
        ] {
            assert_eq!(held.lacking(&other.0, &other.1, &needed), 8, "{other:?}");
        }
        (2..300).for_each(|number| held.note(&request(number), (1, 1), []));
        assert_eq!(held.0.len(), REQUESTS_MAX);
        assert_eq!(held.lacking(&request(1), &peer(1, 1, false), &needed), 8, "it has made room");
    }
}
