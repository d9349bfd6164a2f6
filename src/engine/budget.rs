//! The memory budget of a process, in bytes. Claims are granted in the order in which they were made.
//!
//! A request claims all its memory before its first step, and returns it when its response is made. So two
//! requests never wait for each other, and a large one waits a bounded time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// Shared by the workers of a process.
#[derive(Clone)]
pub struct MemoryBudget(Arc<Mutex<BudgetState>>);

struct BudgetState {
    total: u64,
    free: u64,
    granted: usize,
    next: u64,
    waiting: VecDeque<BudgetWaiter>,
}

struct BudgetWaiter {
    ticket: u64,
    bytes: u64,
    wake: WakeFunction,
}

type WakeFunction = Box<dyn Fn() + Send>;

/// Bytes drawn from the budget; dropping it gives them back.
pub struct MemoryClaim {
    budget: MemoryBudget,
    ticket: u64,
    bytes: u64,
}

impl MemoryBudget {
    pub fn new(total: u64) -> MemoryBudget {
        MemoryBudget(Arc::new(Mutex::new(BudgetState {
            total,
            free: total,
            granted: 0,
            next: 0,
            waiting: VecDeque::new(),
        })))
    }

    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// The bytes that are claimed by nobody.
    pub fn free(&self) -> u64 {
        self.lock().free
    }

    /// The numbers of claims that are granted, and that wait.
    pub fn claims(&self) -> (usize, usize) {
        let state = self.lock();
        (state.granted, state.waiting.len())
    }

    /// Asks for bytes. `wake` is called once, when the claim is granted, if it is not so at once.
    pub fn claim(&self, bytes: u64, wake: impl Fn() + Send + 'static) -> MemoryClaim {
        let mut state = self.lock();
        let ticket = state.next;
        state.next += 1;
        if state.waiting.is_empty() && bytes <= state.free {
            state.free -= bytes;
            state.granted += 1;
        } else {
            state.waiting.push_back(BudgetWaiter { ticket, bytes, wake: Box::new(wake) });
        }
        MemoryClaim { budget: self.clone(), ticket, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, BudgetState> {
        self.0.lock().expect("nothing panics while it holds the budget's lock")
    }
}

impl MemoryClaim {
    pub fn is_granted(&self) -> bool {
        !self.budget.lock().waiting.iter().any(|waiting| waiting.ticket == self.ticket)
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        let waited = state.waiting.len();
        state.waiting.retain(|waiting| waiting.ticket != self.ticket);
        if waited == state.waiting.len() {
            state.free += self.bytes;
            state.granted -= 1;
        }
        let mut granted = Vec::new();
        while state.waiting.front().is_some_and(|first| first.bytes <= state.free) {
            let first = state.waiting.pop_front().expect("it was just seen");
            state.free -= first.bytes;
            state.granted += 1;
            granted.push(first.wake);
        }
        drop(state);
        granted.iter().for_each(|wake| wake());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn claims_are_granted_in_order_and_never_beyond_the_total() {
        let budget = MemoryBudget::new(100);
        let woken = Arc::new(AtomicUsize::new(0));
        let claim = |bytes| {
            let woken = Arc::clone(&woken);
            budget.claim(bytes, move || {
                woken.fetch_add(1, Ordering::SeqCst);
            })
        };
        let (first, large, small) = (claim(60), claim(70), claim(10));
        assert_eq!((budget.claims(), budget.free()), ((1, 2), 40));
        assert!(first.is_granted() && !large.is_granted());
        assert!(!small.is_granted(), "a small one does not overtake a large one");
        drop(first);
        assert!(large.is_granted() && small.is_granted());
        assert_eq!(woken.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn one_that_gives_up_waiting_lets_the_next_in_and_returns_nothing() {
        let budget = MemoryBudget::new(100);
        let first = budget.claim(60, || {});
        let second = budget.claim(60, || {});
        let third = budget.claim(40, || {});
        drop(second);
        assert!(third.is_granted());
        drop((first, third));
        assert!(budget.claim(100, || {}).is_granted());
        assert!(!budget.claim(101, || {}).is_granted());
    }
}
