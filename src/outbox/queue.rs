//! The queue of one destination, and the threads that deliver from it. A destination that is slow or absent
//! delays only its own queue. Responses to the same request are never sent at the same time.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::admission::{DeliveryErrorKind, DeliveryRecord, DestinationReach, OutgoingResponse};
use crate::step::Digest;

use super::context::OutboxContext;
use super::forward::DeliveryAttempt;
use super::local_state::{DeliveryCounts, LocalDestinationState};
use super::policy::NextAttempt;
use super::response_delivery::ResponseDelivery;
use super::{DestinationService, OutboxEvent};

/// The queue of a destination. Dropping it ends its threads; responses that wait are then undelivered.
pub struct DestinationQueue {
    counter: Arc<QueueShared>,
    threads: Vec<JoinHandle<()>>,
}

/// The part of a queue that its threads share.
pub(super) struct QueueShared {
    /// The destination's position in the list of destinations, and its name.
    index: usize,
    name: String,
    forward: DestinationService,
    context: Arc<OutboxContext>,
    line: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: Vec<QueuedDelivery>,
    /// The requests whose responses are being sent.
    busy: Vec<Digest>,
    /// The busy requests for which an operator wants another attempt at once after the present one.
    expedited: Vec<Digest>,
    brought: u64,
    /// Whether flow is stopping: only quick attempts are still made.
    closing: bool,
    ended: bool,
    counts: DeliveryCounts,
}

/// A response that waits for an attempt.
struct QueuedDelivery {
    response_delivery: Arc<ResponseDelivery>,
    delivery: DeliveryRecord,
    /// The position in the queue: a delivery gets a new number when it comes back from an attempt.
    number: u64,
    due: Duration,
    /// The time of the first attempt.
    begun: Option<Duration>,
    /// The number of attempts since the last one with progress.
    fruitless: usize,
    pace: DeliveryPace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DeliveryPace {
    Quick,
    /// The delivery waits for a later time; when flow stops it may be left for the next start.
    Patient,
    /// An operator wants an attempt at once, also outside of the windows.
    Expedited,
}

/// The longest wait, after which the windows are compared with the wall clock again: it may have been set.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How often a destination that is paused is looked at again.
const PAUSE_INTERVAL: Duration = Duration::from_millis(200);

impl DestinationQueue {
    /// # Errors
    /// If its threads cannot be started.
    pub fn open(
        index: usize,
        forward: DestinationService,
        context: Arc<OutboxContext>,
    ) -> io::Result<DestinationQueue> {
        let (name, threads) = (forward.destination.name(), forward.policy.associations_max.get());
        let (line, changed) = (Mutex::default(), Condvar::new());
        let counter = Arc::new(QueueShared { index, name, forward, context, line, changed });
        let mut queue = DestinationQueue { counter, threads: Vec::with_capacity(threads) };
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

    /// The shared part, for whoever looks at it.
    pub(super) fn shared(&self) -> Weak<QueueShared> {
        Arc::downgrade(&self.counter)
    }

    /// Adds a response at the end of the queue.
    pub fn put(&self, response_delivery: &Arc<ResponseDelivery>) {
        let mut line = self.counter.lock();
        let job = self.counter.job(&mut line, response_delivery);
        line.waiting.push(job);
        drop(line);
        self.counter.changed.notify_all();
    }

    /// Makes the first attempt at once, on this thread, unless another response to the same request is being
    /// sent. Further attempts are made by the threads of the queue.
    pub fn put_first(&self, response_delivery: &Arc<ResponseDelivery>) {
        let mut line = self.counter.lock();
        let job = self.counter.job(&mut line, response_delivery);
        let request = job.request();
        if line.busy.contains(&request) || self.counter.is_paused() {
            line.waiting.push(job);
            drop(line);
            self.counter.changed.notify_all();
            return;
        }
        line.busy.push(request);
        drop(line);
        self.counter.attempt(job);
        self.counter.lock().tried(request);
        self.counter.changed.notify_all();
    }

    /// Begins the next attempt for the response to a request at once, if it waits.
    pub fn expedite(&self, request: Digest) {
        let now = self.counter.context.clock.now();
        let mut line = self.counter.lock();
        if line.busy.contains(&request) {
            line.expedited.push(request);
        }
        line.waiting.iter_mut().filter(|job| job.request() == request).for_each(|job| job.expedite(now));
        drop(line);
        self.counter.changed.notify_all();
    }

    /// Stops the queue: from now on only quick attempts are made.
    pub fn close(&self) {
        self.counter.lock().closing = true;
        self.counter.changed.notify_all();
    }

    /// Waits until the queue is empty.
    pub fn wait(&self) {
        let line = self.counter.lock();
        let is_busy = |line: &mut QueueState| !line.waiting.is_empty() || !line.busy.is_empty();
        drop(self.counter.changed.wait_while(line, is_busy).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for DestinationQueue {
    fn drop(&mut self) {
        self.counter.lock().ended = true;
        self.counter.changed.notify_all();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl QueueShared {
    fn job(&self, line: &mut QueueState, response_delivery: &Arc<ResponseDelivery>) -> QueuedDelivery {
        let (response_delivery, delivery) =
            (Arc::clone(response_delivery), response_delivery.delivery(self.index));
        let due = self.context.clock.now();
        let (number, begun, fruitless, pace) = (line.number(), None, 0, DeliveryPace::Quick);
        QueuedDelivery { response_delivery, delivery, number, due, begun, fruitless, pace }
    }

    /// The state as a destination on this machine.
    pub(super) fn local_state(&self) -> LocalDestinationState {
        let line = self.lock();
        let (trouble, trouble_since) = line.counts.trouble.clone().unzip();
        LocalDestinationState {
            name: self.forward.alias.clone().unwrap_or_else(|| self.name.clone()),
            queued: line.waiting.len() + line.busy.len(),
            delivered: line.counts.delivered,
            not_delivered: line.counts.not_delivered,
            trouble,
            trouble_since,
        }
    }

    fn serve(&self) {
        while let Some(job) = self.next() {
            let request = job.request();
            match job.pace {
                // Such a delivery is given here only while the queue is closing.
                DeliveryPace::Patient => self.leave_for_later(job),
                DeliveryPace::Quick | DeliveryPace::Expedited => self.attempt(job),
            }
            self.lock().tried(request);
            self.changed.notify_all();
        }
    }

    /// The next delivery to attempt, or to leave to the next start.
    fn next(&self) -> Option<QueuedDelivery> {
        let mut line = self.lock();
        loop {
            if line.ended {
                return None;
            }
            line.waiting.retain(|job| !job.response_delivery.is_superseded());
            let now = self.context.clock.now();
            if !line.closing {
                line.waiting.iter_mut().filter(|job| job.due <= now).for_each(QueuedDelivery::end_long_wait);
            }
            self.defer_to_window(&mut line, now);
            let is_paused = self.is_paused();
            if is_paused && line.closing {
                line.waiting.iter_mut().for_each(|job| job.pace = DeliveryPace::Patient);
            }
            if let Some(place) = line.ready(now).filter(|_| !is_paused || line.closing) {
                let job = line.waiting.swap_remove(place);
                line.busy.push(job.request());
                return Some(job);
            }
            if line.waiting.is_empty() {
                // The queue may have become empty, because superseded deliveries were dropped.
                self.changed.notify_all();
            }
            let wait = line.due().map(|due| due.saturating_sub(now)).unwrap_or(WAIT_MAX).min(WAIT_MAX);
            let wait = self.context.clock.real(wait);
            let wait = if is_paused { wait.min(PAUSE_INTERVAL) } else { wait };
            line = self.changed.wait_timeout(line, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether an operator has paused the destination.
    fn is_paused(&self) -> bool {
        let pauses = &self.context.control.pauses;
        let is_paused = |name: &str| pauses.is_destination_paused(name);
        pauses.has_any() && (is_paused(&self.name) || self.forward.alias.as_deref().is_some_and(is_paused))
    }

    fn defer_to_window(&self, line: &mut QueueState, now: Duration) {
        let wait = self.forward.policy.opens_in(self.context.clock.wall());
        if wait.is_zero() {
            return;
        }
        for job in line.waiting.iter_mut().filter(|job| job.pace == DeliveryPace::Quick) {
            (job.due, job.pace) = (job.due.max(now + wait), DeliveryPace::Patient);
        }
    }

    fn attempt(&self, mut job: QueuedDelivery) {
        let begun = self.context.clock.now();
        job.begun.get_or_insert(begun);
        let tried = self.try_once(&mut job);
        self.count(&job.delivery);
        let now = self.context.clock.now();
        job.response_delivery.report(&self.context, self.index, &job.delivery);
        if tried.trouble == Some(DeliveryErrorKind::Absent) {
            self.share(&job, now);
        }
        job.fruitless = if tried.is_fruitful { 1 } else { job.fruitless + 1 };
        let is_over = tried.trouble == Some(DeliveryErrorKind::Lasting);
        if is_over || tried.is_decided {
            return self.leave(&job);
        }
        self.again(job, now);
    }

    fn count(&self, delivery: &DeliveryRecord) {
        let result = if delivery.complete { Ok(()) } else { Err(delivery.told()) };
        let wall = self.context.clock.wall();
        self.lock().counts.note(result, wall);
    }

    fn try_once(&self, job: &mut QueuedDelivery) -> DeliveryAttempt {
        let response_delivery = Arc::clone(&job.response_delivery);
        let (response, store) = (&*response_delivery.response, &*response_delivery.store);
        let outgoing = OutgoingResponse { request: response_delivery.receipt.request(), response, store };
        let reach = self.forward.destination.reach();
        let note = |file: &_| match reach {
            DestinationReach::Remote => response_delivery.note(&self.context, &self.name, file),
            DestinationReach::Local => {}
        };
        let attempt = || self.forward.attempt(outgoing, &mut job.delivery, &note);
        catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| {
            job.delivery.trouble = Some("the delivery panicked, which is a bug in flow".to_owned());
            DeliveryAttempt {
                is_fruitful: false,
                is_decided: false,
                trouble: Some(DeliveryErrorKind::Passing),
            }
        })
    }

    /// Counts the attempt for all deliveries to the same peer that are due: it is absent for them, too.
    fn share(&self, failed: &QueuedDelivery, now: Duration) {
        let mut line = self.lock();
        let (mut due, others): (Vec<QueuedDelivery>, Vec<QueuedDelivery>) =
            std::mem::take(&mut line.waiting).into_iter().partition(|job| {
                job.due <= now && job.pace == DeliveryPace::Quick && self.is_same_node(job, failed)
            });
        line.waiting = others;
        due.sort_by_key(|job| job.number);
        // Marked as busy, so that the queue does not count as empty in between.
        line.busy.extend(due.iter().map(QueuedDelivery::request));
        drop(line);
        for mut job in due {
            job.begun.get_or_insert(now);
            job.delivery.tries += 1;
            job.delivery.trouble.clone_from(&failed.delivery.trouble);
            job.fruitless += 1;
            let request = job.request();
            job.response_delivery.report(&self.context, self.index, &job.delivery);
            self.again(job, now);
            self.lock().tried(request);
        }
    }

    fn is_same_node(&self, one: &QueuedDelivery, other: &QueuedDelivery) -> bool {
        let (one, other) =
            (one.response_delivery.receipt.request(), other.response_delivery.receipt.request());
        self.forward.destination.shares_peer(one, other)
    }

    /// Puts a delivery back for its next attempt, if there is to be one, behind those that are due at the
    /// same time: otherwise one that always fails would be attempted again and again before the others.
    fn again(&self, mut job: QueuedDelivery, now: Duration) {
        let waited = now.saturating_sub(job.begun.unwrap_or(now));
        let (wait, pace) = match self.forward.policy.next(job.fruitless, waited) {
            NextAttempt::Quick(wait) => (wait, DeliveryPace::Quick),
            NextAttempt::Patient(wait) => (wait, DeliveryPace::Patient),
            NextAttempt::GiveUp => return self.leave(&job),
        };
        if pace == DeliveryPace::Patient {
            self.tell_delay(&job, wait);
        }
        (job.due, job.pace) = (now + wait, pace);
        let mut line = self.lock();
        if line.expedited.contains(&job.request()) {
            job.expedite(now);
        }
        job.number = line.number();
        line.waiting.push(job);
        drop(line);
        self.changed.notify_all();
    }

    /// Reports a delay. Not while the queue is closing: the end of the quick attempts is reported then.
    fn tell_delay(&self, job: &QueuedDelivery, wait: Duration) {
        let request = job.response_delivery.receipt.request();
        if job.fruitless == self.forward.policy.quick.len() + 1 && !self.lock().closing {
            let (delivery, error) = (&job.delivery, &job.delivery.told());
            (self.context.tell)(&match self.forward.destination.reach() {
                DestinationReach::Remote => OutboxEvent::Delayed { request, delivery, wait },
                DestinationReach::Local => OutboxEvent::NotWritten { request, error, wait: Some(wait) },
            });
        }
    }

    fn leave_for_later(&self, mut job: QueuedDelivery) {
        // The destination's own answers, if there are any, are the reason.
        if job.delivery.told().is_empty() {
            let why = if self.is_paused() {
                "it is paused"
            } else {
                "it may not be sent to at this time of the day"
            };
            job.delivery.trouble = Some(why.to_owned());
        }
        job.response_delivery.report(&self.context, self.index, &job.delivery);
        self.leave(&job);
    }

    /// Ends the delivery, for good or until the next start.
    fn leave(&self, job: &QueuedDelivery) {
        if job.response_delivery.is_superseded() {
            return;
        }
        let (request, delivery) = (job.response_delivery.receipt.request(), &job.delivery);
        match self.forward.destination.reach() {
            DestinationReach::Remote => (self.context.tell)(&OutboxEvent::Forwarded { request, delivery }),
            DestinationReach::Local if !delivery.complete => {
                let error = &delivery.told();
                (self.context.tell)(&OutboxEvent::NotWritten { request, error, wait: None });
            }
            DestinationReach::Local => {}
        }
        job.response_delivery.finish(&self.context);
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // A panic cannot leave the state half changed, so a poisoned lock is usable.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// The next position in the queue.
    fn number(&mut self) -> u64 {
        self.brought += 1;
        self.brought
    }

    /// The next delivery to attempt: the first that is due; on closing also those with a long wait.
    fn ready(&self, now: Duration) -> Option<usize> {
        let may_go = |job: &QueuedDelivery| {
            let is_due = job.due <= now || (self.closing && job.pace == DeliveryPace::Patient);
            is_due && !self.busy.contains(&job.request())
        };
        let ready = self.waiting.iter().enumerate().filter(|(_, job)| may_go(job));
        ready.min_by_key(|(_, job)| (job.due.min(now), job.number)).map(|(place, _)| place)
    }

    /// Ends an attempt for this request.
    fn tried(&mut self, request: Digest) {
        self.busy.retain(|busy| *busy != request);
        self.expedited.retain(|expedited| *expedited != request);
    }

    fn due(&self) -> Option<Duration> {
        let idle = self.waiting.iter().filter(|job| !self.busy.contains(&job.request()));
        idle.map(|job| job.due).min()
    }
}

impl QueuedDelivery {
    fn request(&self) -> Digest {
        self.response_delivery.receipt.request().id
    }

    /// Makes the delivery due now, with the quick attempts of a new one.
    fn expedite(&mut self, now: Duration) {
        (self.due, self.fruitless, self.pace) = (now, 0, DeliveryPace::Expedited);
    }

    /// The end of a long wait: the attempt that is now due counts as a quick one.
    fn end_long_wait(&mut self) {
        if self.pace == DeliveryPace::Patient {
            self.pace = DeliveryPace::Quick;
        }
    }
}
