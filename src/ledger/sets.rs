//! Differences of large sets, kept while keys come and go: what is available, and neither converted nor in
//! flight nor failed.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::input::InputSession;
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

/// The keys of a set that are in none of others. Sets are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetDifference {
    pub of: u8,
    pub without: Vec<u8>,
}

/// Sets of keys and their differences. All sets share one arrangement by key.
pub struct SetViews {
    worker: Worker,
    input: InputSession<u64, (u64, u8), isize>,
    probe: ProbeHandle<u64>,
    changes: Rc<RefCell<Vec<SetChange>>>,
    counts: Vec<isize>,
    time: u64,
}

/// A change of a difference: its index, the key, and whether the key comes (1) or goes (-1).
pub type SetChange = (u8, u64, isize);

impl SetViews {
    pub fn new(differences: Vec<SetDifference>) -> SetViews {
        let mut worker = Worker::new(WorkerConfig::default(), Allocator::Thread(Thread::default()), None);
        let (mut input, probe) = (InputSession::new(), ProbeHandle::new());
        let changes = Rc::<RefCell<Vec<SetChange>>>::default();
        let counts = vec![0; differences.len()];
        worker.dataflow::<u64, _, _>(|scope| {
            let changes = Rc::clone(&changes);
            input
                .to_collection(scope)
                .reduce(move |_, sets: &[(&u8, isize)], output: &mut Vec<(u8, isize)>| {
                    let has = |set: u8| sets.iter().any(|(one, count)| **one == set && *count > 0);
                    let is_in = |difference: &SetDifference| {
                        has(difference.of) && !difference.without.iter().any(|set| has(*set))
                    };
                    let indices = (0_u8..).zip(&differences).filter(|(_, difference)| is_in(difference));
                    output.extend(indices.map(|(index, _)| (index, 1)));
                })
                .inspect_batch(move |_, rows| {
                    let each = rows.iter().map(|((key, index), _, change)| (*index, *key, *change));
                    changes.borrow_mut().extend(each);
                })
                .probe_with(&probe);
        });
        SetViews { worker, input, probe, changes, counts, time: 0 }
    }

    /// Adds a key to a set (1), or takes it out (-1).
    pub fn change(&mut self, set: u8, key: u64, change: isize) {
        self.input.update((key, set), change);
    }

    /// Brings the differences up to date, and gives what has changed.
    pub fn settle(&mut self) -> Vec<SetChange> {
        self.time += 1;
        self.input.advance_to(self.time);
        self.input.flush();
        let (probe, time) = (&self.probe, self.time);
        self.worker.step_while(|| probe.less_than(&time));
        let changes = self.changes.take();
        for (index, _, change) in &changes {
            self.counts[usize::from(*index)] += change;
        }
        changes
    }

    /// The number of keys in a difference.
    pub fn count(&self, difference: usize) -> isize {
        self.counts[difference]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const AVAILABLE: u8 = 0;
    const CONVERTED: u8 = 1;
    const IN_FLIGHT: u8 = 2;
    const FAILED: u8 = 3;

    fn backlog() -> Vec<SetDifference> {
        vec![
            SetDifference { of: AVAILABLE, without: vec![CONVERTED, IN_FLIGHT, FAILED] },
            SetDifference { of: CONVERTED, without: vec![AVAILABLE] },
        ]
    }

    #[test]
    fn differences_of_random_changes_are_those_of_plain_sets() {
        let mut views = SetViews::new(backlog());
        let mut sets: [BTreeSet<u64>; 4] = Default::default();
        let mut followed: BTreeMap<u8, BTreeSet<u64>> = BTreeMap::new();
        let mut seed = 88_172_645_463_325_252_u64;
        for _ in 0..300 {
            for _ in 0..20 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let (set, key) = ((seed % 4) as u8, (seed >> 8) % 60);
                let is_new = sets[usize::from(set)].insert(key);
                if !is_new {
                    sets[usize::from(set)].remove(&key);
                }
                views.change(set, key, if is_new { 1 } else { -1 });
            }
            for (index, key, change) in views.settle() {
                let keys = followed.entry(index).or_default();
                assert!(if change > 0 { keys.insert(key) } else { keys.remove(&key) });
            }
            let [available, converted, in_flight, failed] = &sets;
            let rest = |key: &&u64| ![converted, in_flight, failed].iter().any(|set| set.contains(key));
            let expected: BTreeSet<u64> = available.iter().filter(rest).copied().collect();
            assert_eq!(followed.get(&0).cloned().unwrap_or_default(), expected);
            assert_eq!(views.count(0), expected.len() as isize);
            assert_eq!(views.count(1), converted.difference(available).count() as isize);
        }
    }
}
