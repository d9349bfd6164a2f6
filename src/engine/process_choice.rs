//! The choice of the process for a piece of work: for a request, for a step that says `on`, or for a batch of one.
//!
//! | in this order | |
//! |---|---|
//! | memory | a process whose `--memory` is less than the request takes is never chosen |
//! | room | one with a worker thread and the memory free now, before one where the work would wait |
//! | inputs | the one to which the fewest bytes have to be brought: what it has of the request stays there for a while |
//! | threads | the one with the least work for its worker threads |
//! | free memory | the one with the most |
//! | index | the lowest |

use std::cmp::{Ordering, Reverse};

/// A process that could do a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessCandidate {
    /// The index.
    pub process: usize,
    /// The worker threads.
    pub workers: usize,
    /// The pieces of work that it has.
    pub load: usize,
    /// The bytes of memory that all its work may take.
    pub memory: u64,
    /// The bytes that no work takes now.
    pub free: u64,
    /// The bytes of inputs that it does not have.
    pub to_bring: u64,
}

/// The process for work that takes this many bytes of memory; `None` if no candidate has them.
pub fn choose(candidates: impl IntoIterator<Item = ProcessCandidate>, bytes: u64) -> Option<usize> {
    let able = candidates.into_iter().filter(|candidate| candidate.memory >= bytes);
    able.min_by(|one, other| one.compare(other, bytes)).map(|candidate| candidate.process)
}

impl ProcessCandidate {
    fn compare(&self, other: &ProcessCandidate, bytes: u64) -> Ordering {
        let is_full = |one: &ProcessCandidate| one.load >= one.workers || one.free < bytes;
        // Fractions are compared by their cross products.
        let by_threads = || ((self.load + 1) * other.workers).cmp(&((other.load + 1) * self.workers));
        is_full(self)
            .cmp(&is_full(other))
            .then(self.to_bring.cmp(&other.to_bring))
            .then_with(by_threads)
            .then(Reverse(self.free).cmp(&Reverse(other.free)))
            .then(self.process.cmp(&other.process))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: workers, load, memory, free memory, bytes to bring.
    type Row = (usize, usize, u64, u64, u64);

    #[test]
    fn a_process_is_chosen_by_memory_then_room_inputs_threads_and_free_memory() {
        let table: [(&str, u64, &[Row], Option<usize>); 12] = [
            ("none is there", 10, &[], None),
            ("none has the memory", 100, &[(2, 0, 50, 50, 0), (2, 0, 99, 99, 0)], None),
            ("only a busy one has it", 100, &[(8, 0, 50, 50, 0), (1, 7, 100, 0, 99)], Some(1)),
            ("exactly the memory is enough", 100, &[(1, 0, 99, 99, 0), (1, 0, 100, 100, 0)], Some(1)),
            ("one with a free thread", 10, &[(2, 2, 50, 50, 0), (2, 1, 50, 50, 9)], Some(1)),
            ("one with the memory free now", 40, &[(2, 0, 50, 30, 0), (2, 1, 50, 40, 9)], Some(1)),
            ("the one that has the inputs", 10, &[(4, 0, 50, 50, 9), (4, 3, 50, 20, 0)], Some(1)),
            ("the one that has more of them", 10, &[(4, 0, 50, 50, 9), (4, 0, 50, 50, 8)], Some(1)),
            ("all are full: still the inputs", 10, &[(2, 2, 50, 50, 9), (2, 3, 50, 50, 0)], Some(1)),
            ("the least work for its threads", 10, &[(2, 1, 50, 50, 0), (4, 2, 50, 50, 0)], Some(1)),
            ("the most free memory", 10, &[(2, 0, 50, 40, 0), (2, 0, 90, 41, 0)], Some(1)),
            ("the lowest index", 10, &[(2, 0, 50, 50, 0), (2, 0, 50, 50, 0)], Some(0)),
        ];
        for (what, bytes, rows, expected) in table {
            let candidates =
                rows.iter().zip(0..).map(|(&(workers, load, memory, free, to_bring), process)| {
                    ProcessCandidate { process, workers, load, memory, free, to_bring }
                });
            assert_eq!(choose(candidates, bytes), expected, "{what}");
        }
    }
}
