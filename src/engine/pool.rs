//! Threads for steps, so that no worker thread is ever blocked by a step.
//!
//! A step gets a thread of its own: a slow one takes a share of the processor and no more. (In
//! rayon's pool a step that waits for its parts may be handed a whole other step, and then ends
//! after it. Rayon serves inside the steps.) Threads are made when needed and kept. Each class of
//! jobs, one per node, has a limit of its own.
//!
//! A thread cannot be stopped from outside. A job that is given up keeps its thread until it
//! returns, if ever, but neither counts any more: not for its class, not for the number of threads,
//! and nobody waits for it in the end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{JoinHandle, ThreadId};

type PoolJob = Box<dyn FnOnce(&JobThread) + Send>;

pub struct ThreadPool(Arc<PoolShared>);

/// A handle on a running job, with which it can be abandoned.
#[derive(Clone)]
pub struct JobThread {
    shared: Arc<PoolShared>,
    job: u64,
    class: usize,
    thread: ThreadId,
}

struct PoolShared {
    state: Mutex<PoolState>,
    changed: Condvar,
    threads_max: usize,
}

struct PoolState {
    classes: Vec<JobClass>,
    /// The threads, without those of abandoned jobs.
    threads: HashMap<ThreadId, JoinHandle<()>>,
    idle: usize,
    /// The running jobs, without abandoned ones.
    running: HashSet<u64>,
    abandoned: usize,
    /// The number of jobs and threads begun so far, which numbers them.
    jobs: u64,
    threads_begun: u64,
    /// The class at which the search for a job begins: the classes are served in turn.
    turn: usize,
    ended: bool,
}

struct JobClass {
    /// The waiting jobs, in a queue per owner. The owners are served in turn, so that thousands of items of
    /// one request do not delay another's.
    waiting: VecDeque<(usize, VecDeque<PoolJob>)>,
    running: usize,
    max: usize,
}

impl ThreadPool {
    /// A pool without any class of jobs.
    pub fn new(threads_max: usize) -> ThreadPool {
        let state = PoolState {
            classes: Vec::new(),
            threads: HashMap::new(),
            idle: 0,
            running: HashSet::new(),
            abandoned: 0,
            jobs: 0,
            threads_begun: 0,
            turn: 0,
            ended: false,
        };
        ThreadPool(Arc::new(PoolShared { state: Mutex::new(state), changed: Condvar::new(), threads_max }))
    }

    /// Adds a class for each limit in `max`; gives the number of the first one.
    pub fn add_classes(&self, max: impl IntoIterator<Item = usize>) -> usize {
        let mut state = self.0.lock();
        let first = state.classes.len();
        let class = |max| JobClass { waiting: VecDeque::new(), running: 0, max };
        state.classes.extend(max.into_iter().map(class));
        first
    }

    /// Runs a job as soon as its class has room and there is a thread. The job must not panic.
    /// Jobs of the same `owner` and class begin in their order, those of several owners in turn.
    pub fn submit(&self, class: usize, owner: usize, job: impl FnOnce(&JobThread) + Send + 'static) {
        let mut state = self.0.lock();
        state.classes[class].push(owner, Box::new(job));
        self.0.serve(&mut state);
    }

    /// The number of abandoned jobs that have not returned.
    pub fn abandoned(&self) -> usize {
        self.0.lock().abandoned
    }

    /// Ends the threads after their present jobs. Waiting jobs are not begun.
    pub fn end(&self) {
        let threads = {
            let mut state = self.0.lock();
            state.ended = true;
            std::mem::take(&mut state.threads)
        };
        self.0.changed.notify_all();
        // The last handle on the pool may be dropped by a job, on a thread that cannot join itself.
        let others = threads.into_iter().filter(|(id, _)| *id != std::thread::current().id());
        others.for_each(|(_, thread)| drop(thread.join()));
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.end();
    }
}

impl JobThread {
    /// Abandons the job: its class and its thread's slot are free for others.
    pub fn abandon(&self) {
        let mut state = self.shared.lock();
        if state.running.remove(&self.job) {
            state.classes[self.class].running -= 1;
            state.threads.remove(&self.thread);
            state.abandoned += 1;
            self.shared.serve(&mut state);
        }
    }
}

impl PoolShared {
    /// Wakes or starts a thread for a waiting job.
    fn serve(self: &Arc<PoolShared>, state: &mut PoolState) {
        self.changed.notify_one();
        let wanting = state.classes.iter().map(JobClass::ready).sum::<usize>() > state.idle;
        if !wanting || state.threads.len() >= self.threads_max || state.ended {
            return;
        }
        let shared = Arc::clone(self);
        let name = format!("flow:step-{}", state.threads_begun);
        state.threads_begun += 1;
        match std::thread::Builder::new().name(name).spawn(move || shared.work()) {
            Ok(thread) => drop(state.threads.insert(thread.thread().id(), thread)),
            // A thread that could not be started is no loss while there is one: the job is done later.
            Err(error) if !state.threads.is_empty() => {
                tracing::warn!(%error, "could not start a step's thread");
            }
            Err(error) => panic!("could not start any thread for steps: {error}"),
        }
    }

    fn work(self: &Arc<PoolShared>) {
        let mut state = self.lock();
        loop {
            if state.ended {
                return;
            }
            let Some((class, job)) = state.next() else {
                state.idle += 1;
                state = self.changed.wait(state).expect("nothing panics while it holds the pool's lock");
                state.idle -= 1;
                continue;
            };
            // A class may have got room while this thread took a job of another one.
            if state.idle > 0 && state.classes.iter().any(|class| class.ready() > 0) {
                self.changed.notify_one();
            }
            let thread = std::thread::current().id();
            let thread_handle = JobThread { shared: Arc::clone(self), job: state.begin(), class, thread };
            drop(state);
            job(&thread_handle);
            state = self.lock();
            if !state.running.remove(&thread_handle.job) {
                state.abandoned -= 1;
                return;
            }
            state.classes[class].running -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().expect("nothing panics while it holds the pool's lock")
    }
}

impl PoolState {
    fn next(&mut self) -> Option<(usize, PoolJob)> {
        let count = self.classes.len();
        let mut order = (0..count).map(|offset| (self.turn + offset) % count);
        let found = order.find(|index| self.classes[*index].ready() > 0)?;
        self.turn = (found + 1) % count;
        let class = &mut self.classes[found];
        class.running += 1;
        class.pop().map(|job| (found, job))
    }

    /// Numbers a job that begins.
    fn begin(&mut self) -> u64 {
        self.jobs += 1;
        self.running.insert(self.jobs);
        self.jobs
    }
}

impl JobClass {
    fn push(&mut self, owner: usize, job: PoolJob) {
        match self.waiting.iter_mut().find(|(other, _)| *other == owner) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.waiting.push_back((owner, [job].into())),
        }
    }

    fn pop(&mut self) -> Option<PoolJob> {
        let (owner, mut jobs) = self.waiting.pop_front()?;
        let job = jobs.pop_front();
        if !jobs.is_empty() {
            self.waiting.push_back((owner, jobs));
        }
        job
    }

    /// The number of jobs that could begin now.
    fn ready(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(|(_, jobs)| jobs.len()).sum();
        waiting.min(self.max.saturating_sub(self.running))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn pool<const CLASSES: usize>(max: [usize; CLASSES], threads_max: usize) -> ThreadPool {
        let pool = ThreadPool::new(threads_max);
        assert_eq!(pool.add_classes(max), 0);
        pool
    }

    #[test]
    fn a_class_at_its_limit_does_not_hold_up_another() {
        let pool = pool([1, 1], 8);
        let (release, held) = channel::<()>();
        let (done, finished) = channel();
        let first = done.clone();
        pool.submit(0, 0, move |_| {
            held.recv().unwrap();
            first.send("held").unwrap();
        });
        let second = done.clone();
        pool.submit(0, 0, move |_| second.send("behind it").unwrap());
        pool.submit(1, 0, move |_| done.send("other").unwrap());
        assert_eq!(finished.recv_timeout(LONG), Ok("other"));
        release.send(()).unwrap();
        assert_eq!(finished.recv_timeout(LONG), Ok("held"));
        assert_eq!(finished.recv_timeout(LONG), Ok("behind it"));
    }

    #[test]
    fn no_more_than_the_limit_at_once_and_all_are_done() {
        let pool = pool([3], 8);
        let now = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (done, finished) = channel();
        for _ in 0..200 {
            let (now, most, done) = (Arc::clone(&now), Arc::clone(&most), done.clone());
            pool.submit(0, 0, move |_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                done.send(()).unwrap();
            });
        }
        (0..200).for_each(|_| finished.recv_timeout(LONG).unwrap());
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn many_jobs_of_one_do_not_hold_up_another() {
        let pool = pool([1], 8);
        let (release, held) = channel::<()>();
        let (done, finished) = channel();
        pool.submit(0, 1, move |_| held.recv().unwrap());
        for _ in 0..100 {
            let done = done.clone();
            pool.submit(0, 1, move |_| done.send(1).unwrap());
        }
        pool.submit(0, 2, move |_| done.send(2).unwrap());
        release.send(()).unwrap();
        let first: Vec<i32> = (0..2).map(|_| finished.recv_timeout(LONG).unwrap()).collect();
        assert!(first.contains(&2), "{first:?}");
    }

    #[test]
    fn a_job_that_is_given_up_takes_no_place_and_nobody_waits_for_it() {
        let pool = pool([1], 1);
        let (release, held) = channel::<()>();
        let (tell, told) = channel();
        pool.submit(0, 0, move |thread_handle| {
            tell.send(thread_handle.clone()).unwrap();
            let _ = held.recv();
        });
        let thread_handle: JobThread = told.recv_timeout(LONG).unwrap();
        let (done, finished) = channel();
        pool.submit(0, 0, move |_| done.send(()).unwrap());
        assert!(finished.try_recv().is_err(), "its class and the pool are full");
        thread_handle.abandon();
        thread_handle.abandon();
        assert_eq!(finished.recv_timeout(LONG), Ok(()));
        assert_eq!(pool.abandoned(), 1);
        pool.end();
        drop(release);
        while pool.abandoned() > 0 {
            std::thread::yield_now();
        }
    }
}
