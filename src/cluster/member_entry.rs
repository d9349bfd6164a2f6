//! The knowledge of process 0 about another process.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::dataflow::ProcessLabel;
use crate::engine::{RemotePeer, RemoteRequestKey, RemoteStepKey};
use crate::step::Digest;

use super::chunks::ChunkExchange;
use super::frames::OrderFrame;
use super::handshake::HelloMessage;
use super::link::LinkSender;
use super::standing::{ProcessStanding, unix_ms};
use super::told_requests::ToldRequests;

/// The time that a lost process has to come back to its requests.
const GRACE: Duration = Duration::from_secs(1);

/// The time after a process has connected in which requests that it holds may be given to it again.
const HELD_MAX: Duration = Duration::from_secs(60);

/// The time after which one that could not run a step of a dataflow is given another one.
const UNABLE_TIME: Duration = Duration::from_secs(60);

/// A process that was heard of so recently is not taken for another one.
const HEARD_RECENTLY: Duration = Duration::from_millis(1_500);

pub struct MemberEntry {
    pub address: String,
    pub workers: usize,
    /// The bytes of memory that its work may take.
    memory: u64,
    /// Whether it is not among the hosts, and has a store of its own.
    pub is_joined: bool,
    /// The values that are fetched over its connection.
    exchange: Arc<ChunkExchange>,
    labels: BTreeSet<ProcessLabel>,
    link: Option<LinkSender>,
    /// The generation of its connection, also for a moment after its loss.
    generation: Option<u64>,
    instance: u64,
    /// The number of the last note of this instance that is on the disk.
    noted: u64,
    heard: Instant,
    /// The time of its loss, until it is there again.
    lost: Option<Instant>,
    /// Whether it was told that all is done.
    is_dismissed: bool,
    /// The requests that it has worked on since before it connected.
    held: HashSet<RemoteRequestKey>,
    held_until: Instant,
    /// The requests that it runs, with their bytes of memory.
    running: BTreeMap<u64, u64>,
    /// The steps that it has worked on since before it connected.
    held_steps: HashSet<RemoteStepKey>,
    /// The steps that it runs, with their requests and the bytes of memory of these.
    steps: BTreeMap<u64, (RemoteRequestKey, u64)>,
    /// The first work that it was not given over this connection for want of memory, in words.
    left_out: Option<String>,
    /// The versions of dataflows of which it cannot run steps, with the reasons and when they were told.
    unable: BTreeMap<Digest, (String, Instant)>,
    /// The versions of dataflows that it was told of.
    told: BTreeSet<Digest>,
    /// The requests that it was told of for their steps.
    told_requests: ToldRequests<()>,
    last_generation: u64,
    since_ms: i64,
    outages: u64,
    last_outage: Option<Duration>,
}

impl MemberEntry {
    pub fn new(address: String) -> MemberEntry {
        let now = Instant::now();
        MemberEntry {
            address,
            workers: 1,
            memory: 0,
            is_joined: false,
            exchange: Arc::default(),
            labels: BTreeSet::new(),
            link: None,
            generation: None,
            instance: 0,
            noted: 0,
            heard: now,
            lost: None,
            is_dismissed: false,
            held: HashSet::new(),
            held_until: now,
            running: BTreeMap::new(),
            held_steps: HashSet::new(),
            steps: BTreeMap::new(),
            left_out: None,
            unable: BTreeMap::new(),
            told: BTreeSet::new(),
            told_requests: ToldRequests::default(),
            last_generation: 0,
            since_ms: now_ms(),
            outages: 0,
            last_outage: None,
        }
    }

    /// A process that is not among the hosts.
    pub fn joined(address: String) -> MemberEntry {
        MemberEntry { is_joined: true, ..MemberEntry::new(address) }
    }

    pub fn is_of(&self, instance: u64) -> bool {
        self.instance == instance
    }

    /// Whether it is not there, and does not come back.
    pub fn is_gone(&self) -> bool {
        self.link.is_none() && self.generation.is_none()
    }

    /// The number of the last note of this instance that is on the disk, as far as it is known here.
    pub fn noted(&self, instance: u64) -> u64 {
        if self.is_of(instance) { self.noted } else { 0 }
    }

    /// Notes that the notes of this instance up to a number are on the disk.
    pub fn note(&mut self, instance: u64, number: u64) {
        if self.is_of(instance) {
            self.noted = self.noted.max(number);
        }
    }

    pub fn exchange(&self) -> Arc<ChunkExchange> {
        Arc::clone(&self.exchange)
    }

    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    pub fn generation(&self) -> Option<u64> {
        self.generation
    }

    /// Whether another process with this index is connected and well.
    pub fn is_other(&self, instance: u64) -> bool {
        self.link.is_some() && self.instance != instance && self.heard.elapsed() < HEARD_RECENTLY
    }

    /// Notes a new connection. Returns the length of the outage that it ends.
    pub fn join(&mut self, link: LinkSender, generation: u64, hello: &HelloMessage) -> Option<Duration> {
        if let Some(before) = self.link.replace(link) {
            before.cut();
            self.exchange.cut();
            self.lost.get_or_insert_with(Instant::now);
            self.outages += 1;
        }
        (self.generation, self.last_generation) = (Some(generation), generation);
        self.noted = self.noted(hello.instance);
        (self.instance, self.workers) = (hello.instance, hello.workers.max(1));
        (self.heard, self.since_ms) = (Instant::now(), now_ms());
        self.held = hello.held.iter().copied().collect();
        self.held_until = Instant::now() + HELD_MAX;
        self.held_steps = hello.held_steps.iter().copied().collect();
        self.labels.clone_from(&hello.labels);
        self.memory = hello.memory;
        self.left_out = None;
        self.running.clear();
        self.steps.clear();
        self.unable.clear();
        self.told.clear();
        self.told_requests.clear();
        let outage = self.lost.take().map(|lost| lost.elapsed());
        self.last_outage = outage.or(self.last_outage);
        outage
    }

    /// Notes that a frame has come over a connection. Returns whether it is the current one.
    pub fn hear(&mut self, generation: u64) -> bool {
        self.heard = Instant::now();
        self.link.is_some() && self.generation == Some(generation)
    }

    /// Notes the end of a connection. Returns whether it was the current one.
    pub fn lose(&mut self, generation: u64) -> bool {
        let is_current = self.generation == Some(generation) && self.link.take().is_some();
        if is_current {
            self.lost = Some(Instant::now());
            self.since_ms = now_ms();
            self.outages += 1;
            self.held.clear();
            self.held_steps.clear();
            self.exchange.cut();
        }
        is_current
    }

    /// Ends the generation of a process that does not come back, and the claims on requests that were not given again.
    /// Returns the numbers of its requests and steps in the first case.
    pub fn expire(&mut self) -> Option<(usize, usize)> {
        if !self.held.is_empty() && self.held_until < Instant::now() {
            self.held().iter().for_each(|key| self.release(key));
        }
        let is_gone = self.link.is_none() && self.lost.is_some_and(|lost| lost.elapsed() > GRACE);
        self.generation.take_if(|_| is_gone)?;
        Some((std::mem::take(&mut self.running).len(), std::mem::take(&mut self.steps).len()))
    }

    /// Whether it is connected, has a label, and can run steps of a version of a dataflow as far as is known.
    pub fn is_place(&self, label: &ProcessLabel, version: &Digest) -> bool {
        self.is_connected() && self.labels.contains(label) && self.is_able(version)
    }

    fn is_able(&self, version: &Digest) -> bool {
        self.unable.get(version).is_none_or(|(_, told)| told.elapsed() > UNABLE_TIME)
    }

    /// Notes that it cannot run a step: for a while it gets no other one of its dataflow. Returns whether that is new.
    pub fn refuse_step(&mut self, ticket: u64, reason: &str) -> bool {
        let version = self.steps.get(&ticket).map(|(request, _)| request.version);
        let Some(version) = version.filter(|version| self.is_able(version)) else { return false };
        // It may only have been too busy to read the dataflow: then it is told of it once more.
        self.told.remove(&version);
        self.unable.insert(version, (reason.to_owned(), Instant::now())).is_none()
    }

    pub fn holds_step(&self, key: &RemoteStepKey) -> bool {
        self.is_connected() && self.held_steps.contains(key)
    }

    /// Notes that it runs a step of a request that takes so many bytes of memory.
    pub fn begin_step(&mut self, ticket: u64, key: &RemoteStepKey, memory: u64) {
        self.held_steps.remove(key);
        self.steps.insert(ticket, (key.request, memory));
    }

    pub fn end_step(&mut self, ticket: u64) {
        self.steps.remove(&ticket);
    }

    pub fn holds(&self, key: &RemoteRequestKey) -> bool {
        self.link.is_some() && self.held.contains(key)
    }

    pub fn held(&self) -> Vec<RemoteRequestKey> {
        self.held.iter().copied().collect()
    }

    /// Has the process stop its work on a request that it holds.
    pub fn release(&mut self, key: &RemoteRequestKey) {
        if self.held.remove(key) {
            self.send(&OrderFrame::Release(*key), &[]);
        }
    }

    /// Whether the process has to be told of a version of a dataflow; it is from now on.
    pub fn tell(&mut self, version: Digest) -> bool {
        self.told.insert(version)
    }

    /// Whether the process has to be told of a request for a step of it; it is from now on.
    pub fn tell_request(&mut self, key: &RemoteRequestKey) -> bool {
        let is_new = self.told_requests.get(key).is_none();
        if is_new {
            self.told_requests.add(*key, ());
        }
        is_new
    }

    /// Notes that it runs a request that takes so many bytes of memory.
    pub fn begin(&mut self, ticket: u64, key: &RemoteRequestKey, memory: u64) {
        self.held.remove(key);
        self.running.insert(ticket, memory);
    }

    /// Notes that it was not given a step of a request that takes so many bytes of memory. Returns whether that is the
    /// first one over this connection; the process is told.
    pub fn leave_out(&mut self, memory: u64) -> Option<&str> {
        if self.left_out.is_some() {
            return None;
        }
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        let (needed, there) = (mebibytes(memory), self.memory >> 20);
        let reason =
            format!("gets no steps of requests that need {needed} MiB of memory: it has {there} MiB");
        self.send(&OrderFrame::LeftOut { reason: reason.clone() }, &[]);
        Some(self.left_out.insert(reason))
    }

    /// The process as one that is given work.
    pub fn peer(&self, process: usize) -> RemotePeer {
        RemotePeer {
            process,
            generation: self.last_generation,
            workers: self.workers,
            memory: self.memory,
            taken: self.memory_taken(),
            load: self.running.len() + self.steps.len(),
            shares_store: !self.is_joined,
        }
    }

    /// The bytes of memory that its work takes: all steps of a request share those of the request.
    fn memory_taken(&self) -> u64 {
        let of_steps: BTreeMap<RemoteRequestKey, u64> = self.steps.values().copied().collect();
        let taken =
            self.running.values().chain(of_steps.values()).fold(0, |sum: u64, one| sum.saturating_add(*one));
        // What has to wait for memory takes none.
        taken.min(self.memory)
    }

    pub fn end(&mut self, ticket: u64) {
        self.running.remove(&ticket);
    }

    /// Sends a frame; returns whether it is on its way.
    pub fn send(&self, frame: &OrderFrame, content: &[u8]) -> bool {
        self.link.as_ref().is_some_and(|link| link.send(frame, content).is_ok())
    }

    /// Tells the process, if it is connected, that all is done.
    pub fn dismiss(&mut self) {
        self.is_dismissed |= self.send(&OrderFrame::End, &[]);
    }

    /// Whether the process was lost so recently that it may connect again to be told that all is done.
    pub fn may_return(&self, time: Duration) -> bool {
        !self.is_dismissed && self.lost.is_some_and(|lost| lost.elapsed() < time)
    }

    /// Ends the connection once everything is sent.
    pub fn close(&mut self) {
        self.generation = None;
        self.link = None;
    }

    pub fn standing(&self, process: usize) -> ProcessStanding {
        ProcessStanding {
            process,
            address: self.address.clone(),
            is_connected: self.is_connected(),
            is_joined: self.is_joined,
            noted: self.noted,
            generation: self.last_generation,
            since_ms: self.since_ms,
            requests: self.running.len(),
            waiting: 0,
            steps: self.steps.len(),
            labels: self.labels.clone(),
            memory: self.memory,
            memory_taken: self.memory_taken(),
            workers: self.workers,
            left_out: self.left_out.clone(),
            unable: self.unable.values().map(|(reason, _)| reason.clone()).collect(),
            outages: self.outages,
            last_outage_ms: self.last_outage.and_then(|outage| i64::try_from(outage.as_millis()).ok()),
        }
    }
}

/// Milliseconds of Unix time.
pub fn now_ms() -> i64 {
    unix_ms(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_lost_just_now_may_return_until_it_was_told_of_the_end() {
        let mut member = MemberEntry::new("somewhere".to_owned());
        let time = Duration::from_secs(60);
        assert!(!member.may_return(time), "it has never been there");
        member.lost = Some(Instant::now());
        assert!(member.may_return(time) && !member.may_return(Duration::ZERO));
        member.dismiss();
        assert!(member.may_return(time), "it has no connection by which it could be told");
        member.is_dismissed = true;
        assert!(!member.may_return(time));
    }
}
