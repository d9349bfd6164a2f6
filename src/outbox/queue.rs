//! The responses on their way to one destination, and the threads that deliver them.
//!
//! A destination that is slow or not there holds up nobody but who waits for it. Responses to the same
//! request are never under way at once.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::admission::{Delivery, DestinationReach, OutgoingResponse, TroubleKind};
use crate::step::Digest;

use super::forward::Tried;
use super::policy::Next;
use super::shipment::Shipment;
use super::{Context, Event, Forward};

/// A destination and what waits for it. Dropping it ends its threads; what waits is undelivered then.
pub struct Queue {
    counter: Arc<Counter>,
    threads: Vec<JoinHandle<()>>,
}

struct Counter {
    /// Which of the destinations it is, and its name.
    index: usize,
    name: String,
    forward: Forward,
    context: Arc<Context>,
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Default)]
struct Line {
    waiting: Vec<Job>,
    /// The requests whose responses are being sent.
    busy: Vec<Digest>,
    /// Those of them that an operator does not want to wait after this try.
    hurried: Vec<Digest>,
    brought: u64,
    /// Nothing is waited for but quick tries.
    closing: bool,
    ended: bool,
}

/// A response that waits for a try.
struct Job {
    shipment: Arc<Shipment>,
    delivery: Delivery,
    /// In the order in which they were brought, or came back from a try.
    number: u64,
    due: Duration,
    /// When it was tried first.
    begun: Option<Duration>,
    /// Tries since one has brought something there.
    fruitless: usize,
    pace: Pace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Quick,
    /// It waits for a later time, and need not before flow ends.
    Patient,
    /// An operator does not want to wait, not even for a window.
    Hurried,
}

/// The longest wait, so that a clock on the wall that is set is noticed.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Queue {
    /// # Errors
    /// If its threads cannot be started.
    pub fn open(index: usize, forward: Forward, context: Arc<Context>) -> io::Result<Queue> {
        let (name, threads) = (forward.destination.name(), forward.policy.associations_max.get());
        let (line, changed) = (Mutex::default(), Condvar::new());
        let counter = Arc::new(Counter { index, name, forward, context, line, changed });
        let mut queue = Queue { counter, threads: Vec::with_capacity(threads) };
        for _ in 0..threads {
            let counter = Arc::clone(&queue.counter);
            let builder = std::thread::Builder::new().name(format!("flow:{}", counter.name));
            queue.threads.push(builder.spawn(move || counter.serve())?);
        }
        Ok(queue)
    }

    pub fn reach(&self) -> DestinationReach {
        self.counter.forward.destination.reach()
    }

    /// Puts a response at the end of the line.
    pub fn put(&self, shipment: &Arc<Shipment>) {
        let mut line = self.counter.lock();
        let job = self.counter.job(&mut line, shipment);
        line.waiting.push(job);
        drop(line);
        self.counter.changed.notify_all();
    }

    /// Tries a response at once, on this thread, unless an earlier one to the same request is being sent.
    /// What needs further tries has them later, on the queue's own threads.
    pub fn put_first(&self, shipment: &Arc<Shipment>) {
        let mut line = self.counter.lock();
        let job = self.counter.job(&mut line, shipment);
        let request = job.request();
        if line.busy.contains(&request) {
            line.waiting.push(job);
            return;
        }
        line.busy.push(request);
        drop(line);
        self.counter.attempt(job);
        self.counter.lock().tried(request);
        self.counter.changed.notify_all();
    }

    /// Has the response to a request tried at once, if it waits.
    pub fn hurry(&self, request: Digest) {
        let now = self.counter.context.clock.now();
        let mut line = self.counter.lock();
        if line.busy.contains(&request) {
            line.hurried.push(request);
        }
        line.waiting.iter_mut().filter(|job| job.request() == request).for_each(|job| job.hurry(now));
        drop(line);
        self.counter.changed.notify_all();
    }

    /// From now on only quick tries are waited for.
    pub fn close(&self) {
        self.counter.lock().closing = true;
        self.counter.changed.notify_all();
    }

    /// Waits until nobody waits.
    pub fn wait(&self) {
        let line = self.counter.lock();
        let is_busy = |line: &mut Line| !line.waiting.is_empty() || !line.busy.is_empty();
        drop(self.counter.changed.wait_while(line, is_busy).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.counter.lock().ended = true;
        self.counter.changed.notify_all();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Counter {
    fn job(&self, line: &mut Line, shipment: &Arc<Shipment>) -> Job {
        let (shipment, delivery) = (Arc::clone(shipment), shipment.delivery(self.index));
        let due = self.context.clock.now();
        let (number, begun, fruitless, pace) = (line.number(), None, 0, Pace::Quick);
        Job { shipment, delivery, number, due, begun, fruitless, pace }
    }

    fn serve(&self) {
        while let Some(job) = self.next() {
            let request = job.request();
            match job.pace {
                // Only when it is closing.
                Pace::Patient => self.leave_for_later(job),
                Pace::Quick | Pace::Hurried => self.attempt(job),
            }
            self.lock().tried(request);
            self.changed.notify_all();
        }
    }

    /// The next response that is to be sent, or let go of.
    fn next(&self) -> Option<Job> {
        let mut line = self.lock();
        loop {
            if line.ended {
                return None;
            }
            line.waiting.retain(|job| !job.shipment.is_superseded());
            let now = self.context.clock.now();
            if !line.closing {
                line.waiting.iter_mut().filter(|job| job.due <= now).for_each(Job::rouse);
            }
            self.mind_windows(&mut line, now);
            if let Some(place) = line.ready(now) {
                let job = line.waiting.swap_remove(place);
                line.busy.push(job.request());
                return Some(job);
            }
            if line.waiting.is_empty() {
                // Some may have been superseded, and somebody waits for the end of the line.
                self.changed.notify_all();
            }
            let wait = line.due().map(|due| due.saturating_sub(now)).unwrap_or(WAIT_MAX).min(WAIT_MAX);
            let wait = self.context.clock.real(wait);
            line = self.changed.wait_timeout(line, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn mind_windows(&self, line: &mut Line, now: Duration) {
        let wait = self.forward.policy.opens_in(self.context.clock.wall());
        if wait.is_zero() {
            return;
        }
        for job in line.waiting.iter_mut().filter(|job| job.pace == Pace::Quick) {
            (job.due, job.pace) = (job.due.max(now + wait), Pace::Patient);
        }
    }

    fn attempt(&self, mut job: Job) {
        let begun = self.context.clock.now();
        job.begun.get_or_insert(begun);
        let tried = self.try_once(&mut job);
        let now = self.context.clock.now();
        job.shipment.report(&self.context, self.index, &job.delivery);
        if tried.trouble == Some(TroubleKind::Absent) {
            self.share(&job, now);
        }
        job.fruitless = if tried.is_fruitful { 1 } else { job.fruitless + 1 };
        let is_over = tried.trouble == Some(TroubleKind::Lasting);
        if is_over || tried.is_decided {
            return self.leave(&job);
        }
        self.again(job, now);
    }

    fn try_once(&self, job: &mut Job) -> Tried {
        let shipment = Arc::clone(&job.shipment);
        let (response, store) = (&*shipment.response, &*shipment.store);
        let outgoing = OutgoingResponse { request: shipment.receipt.request(), response, store };
        let reach = self.forward.destination.reach();
        let note = |file: &_| match reach {
            DestinationReach::Remote => shipment.note(&self.context, &self.name, file),
            DestinationReach::Local => {}
        };
        let attempt = || self.forward.attempt(outgoing, &mut job.delivery, &note);
        catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| {
            job.delivery.trouble = Some("delivering broke, which is a mistake in flow".to_owned());
            Tried { is_fruitful: false, is_decided: false, trouble: Some(TroubleKind::Passing) }
        })
    }

    /// A node that is not there for one is not there for the others either: who is due has had its try.
    fn share(&self, failed: &Job, now: Duration) {
        let mut line = self.lock();
        let (mut due, others): (Vec<Job>, Vec<Job>) = std::mem::take(&mut line.waiting)
            .into_iter()
            .partition(|job| job.due <= now && job.pace == Pace::Quick && self.is_same_node(job, failed));
        line.waiting = others;
        due.sort_by_key(|job| job.number);
        // Nobody waits for the end of the line in between.
        line.busy.extend(due.iter().map(Job::request));
        drop(line);
        for mut job in due {
            job.begun.get_or_insert(now);
            job.delivery.tries += 1;
            job.delivery.trouble.clone_from(&failed.delivery.trouble);
            job.fruitless += 1;
            let request = job.request();
            job.shipment.report(&self.context, self.index, &job.delivery);
            self.again(job, now);
            self.lock().tried(request);
        }
    }

    fn is_same_node(&self, one: &Job, other: &Job) -> bool {
        let (one, other) = (one.shipment.receipt.request(), other.shipment.receipt.request());
        self.forward.destination.shares_peer(one, other)
    }

    /// Has a response wait for its next try, if there is to be one, behind those that are due with it: the
    /// next try is another's, or one that always fails would be the only one to be tried.
    fn again(&self, mut job: Job, now: Duration) {
        let waited = now.saturating_sub(job.begun.unwrap_or(now));
        let (wait, pace) = match self.forward.policy.next(job.fruitless, waited) {
            Next::Quick(wait) => (wait, Pace::Quick),
            Next::Patient(wait) => (wait, Pace::Patient),
            Next::GiveUp => return self.leave(&job),
        };
        if pace == Pace::Patient {
            self.tell_delay(&job, wait);
        }
        (job.due, job.pace) = (now + wait, pace);
        let mut line = self.lock();
        if line.hurried.contains(&job.request()) {
            job.hurry(now);
        }
        job.number = line.number();
        line.waiting.push(job);
        drop(line);
        self.changed.notify_all();
    }

    /// Told once, and not when it is let go of at once: the outcome of the further tries is told.
    fn tell_delay(&self, job: &Job, wait: Duration) {
        let request = job.shipment.receipt.request();
        if job.fruitless == self.forward.policy.quick.len() + 1 && !self.lock().closing {
            let (delivery, error) = (&job.delivery, &job.delivery.told());
            (self.context.tell)(&match self.forward.destination.reach() {
                DestinationReach::Remote => Event::Delayed { request, delivery, wait },
                DestinationReach::Local => Event::NotWritten { request, error, wait: Some(wait) },
            });
        }
    }

    fn leave_for_later(&self, mut job: Job) {
        let trouble = &mut job.delivery.trouble;
        trouble.get_or_insert_with(|| "it is not to be sent to at this time of the day".to_owned());
        job.shipment.report(&self.context, self.index, &job.delivery);
        self.leave(&job);
    }

    /// Nothing more is done for it, now or at all.
    fn leave(&self, job: &Job) {
        if job.shipment.is_superseded() {
            return;
        }
        let (request, delivery) = (job.shipment.receipt.request(), &job.delivery);
        match self.forward.destination.reach() {
            DestinationReach::Remote => (self.context.tell)(&Event::Forwarded { request, delivery }),
            DestinationReach::Local if !delivery.complete => {
                let error = &delivery.told();
                (self.context.tell)(&Event::NotWritten { request, error, wait: None });
            }
            DestinationReach::Local => {}
        }
        job.shipment.finish(&self.context);
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        // What it holds is whole between any two steps.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// For who comes to the end of the line.
    fn number(&mut self) -> u64 {
        self.brought += 1;
        self.brought
    }

    /// Who is next: of those that are due the first, and at the end all that would wait long.
    fn ready(&self, now: Duration) -> Option<usize> {
        let may_go = |job: &Job| {
            let is_due = job.due <= now || (self.closing && job.pace == Pace::Patient);
            is_due && !self.busy.contains(&job.request())
        };
        let ready = self.waiting.iter().enumerate().filter(|(_, job)| may_go(job));
        ready.min_by_key(|(_, job)| (job.due.min(now), job.number)).map(|(place, _)| place)
    }

    /// A try for this request is over.
    fn tried(&mut self, request: Digest) {
        self.busy.retain(|busy| *busy != request);
        self.hurried.retain(|hurried| *hurried != request);
    }

    fn due(&self) -> Option<Duration> {
        let idle = self.waiting.iter().filter(|job| !self.busy.contains(&job.request()));
        idle.map(|job| job.due).min()
    }
}

impl Job {
    fn request(&self) -> Digest {
        self.shipment.receipt.request().id
    }

    /// From now on as if it were new.
    fn hurry(&mut self, now: Duration) {
        (self.due, self.fruitless, self.pace) = (now, 0, Pace::Hurried);
    }

    /// Its time has come.
    fn rouse(&mut self) {
        if self.pace == Pace::Patient {
            self.pace = Pace::Quick;
        }
    }
}
