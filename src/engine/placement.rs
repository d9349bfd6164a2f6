//! Where each request runs: in this process, or in one that is connected to it.
//!
//! Each goes to the process that `process_choice` says, among all that are there; the inputs of a request are where all
//! of them see them. A process that has worked on a request since before its connection was lost is given it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::dataflow::RequestPriority;
use crate::step::Request;

use super::budget::MemoryBudget;
use super::job::RunEnvironment;
use super::process_choice::{ProcessCandidate, choose};
use super::remote::RemoteProcesses;
use super::remote_request::{RemoteRequest, RemoteRequestKey};

/// The place of a request that runs in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemotePlace {
    pub process: usize,
    pub generation: u64,
    pub ticket: u64,
    pub key: RemoteRequestKey,
}

/// A request that is to be placed.
pub struct PlacedRequest<'a> {
    pub number: i64,
    pub request: &'a Arc<Request>,
    pub priority: RequestPriority,
    pub deadline: Option<Duration>,
    /// The bytes of memory that it takes.
    pub memory: u64,
}

pub struct RequestPlacement {
    remote: Arc<dyn RemoteProcesses>,
    workers: usize,
    /// The memory of this process.
    budget: MemoryBudget,
    /// Requests that run in this process, and the memory that they take: one that was placed just now has none yet.
    here: usize,
    memory_here: u64,
    /// Requests that run in the others.
    there: BTreeMap<usize, usize>,
    tickets: u64,
}

impl RequestPlacement {
    pub fn new(remote: Arc<dyn RemoteProcesses>, workers: usize, budget: MemoryBudget) -> RequestPlacement {
        RequestPlacement {
            remote,
            workers,
            budget,
            here: 0,
            memory_here: 0,
            there: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// Gives a request to another process, if that is the place for it; otherwise it counts as run here.
    pub fn place(&mut self, work: &RunEnvironment, placed: PlacedRequest) -> Option<RemotePlace> {
        let PlacedRequest { number, request, priority, deadline, memory } = placed;
        let key = RemoteRequestKey { number, request: request.id, version: work.dataflow.digest() };
        let place = self.choose(&key, memory).and_then(|process| {
            self.tickets += 1;
            let (request, dataflow) = (Arc::clone(request), Arc::clone(&work.dataflow));
            let runs = work.memories.runs_of(work.memory_key(&request));
            let ticket = self.tickets;
            let sent = RemoteRequest { ticket, key, request, dataflow, priority, deadline, runs };
            let generation = self.remote.run(process, &sent)?;
            Some(RemotePlace { process, generation, ticket, key })
        });
        match place {
            Some(RemotePlace { process, .. }) => *self.there.entry(process).or_default() += 1,
            None => self.place_here(memory),
        }
        place
    }

    /// Counts a request that is run here in any case.
    pub fn place_here(&mut self, memory: u64) {
        self.here += 1;
        self.memory_here += memory;
    }

    /// Ends the count of a request that was placed with this memory.
    pub fn end(&mut self, place: Option<RemotePlace>, memory: u64) {
        match place {
            None => {
                self.here -= 1;
                self.memory_here -= memory;
            }
            Some(RemotePlace { process, ticket, .. }) => {
                self.remote.ended(process, ticket);
                self.there.entry(process).and_modify(|count| *count -= 1);
            }
        }
    }

    /// Whether the connection under which a request was given away is the current one, or a later one is lost and the
    /// process may still come back with the request.
    pub fn is_there(&self, place: &RemotePlace) -> bool {
        let is_connected = || self.remote.peers().iter().any(|peer| peer.process == place.process);
        let generation = self.remote.generation(place.process);
        generation.is_some_and(|generation| generation == place.generation || !is_connected())
    }

    /// Whether the process of a request has it still, under a new connection.
    pub fn is_held(&self, place: &RemotePlace) -> bool {
        self.remote.holder(&place.key) == Some(place.process)
    }

    pub fn cancel(&self, place: &RemotePlace) {
        self.remote.cancel(place.process, &place.key);
    }

    /// Has other processes stop their work on requests that are in work elsewhere.
    pub fn release(&self, is_in_work: impl Fn(&RemoteRequestKey) -> bool) {
        let held = self.remote.held();
        held.iter().filter(|key| is_in_work(key)).for_each(|key| self.remote.release(key));
    }

    /// The process to run a request that takes so many bytes of memory; `None` for this one.
    fn choose(&self, key: &RemoteRequestKey, memory: u64) -> Option<usize> {
        if let Some(holder) = self.remote.holder(key) {
            return Some(holder);
        }
        let peers = self.remote.peers().into_iter().map(|peer| {
            // What was given just now counts, also where the process is not told of it yet.
            let requests = self.there.get(&peer.process).copied().unwrap_or(0);
            peer.candidate(requests.max(peer.load), 0)
        });
        let total = self.budget.total();
        let (_, claims_waiting) = self.budget.claims();
        // What waits already comes first.
        let free = if claims_waiting == 0 { self.budget.free() } else { 0 };
        let free = free.min(total.saturating_sub(self.memory_here));
        let here = ProcessCandidate {
            process: 0,
            workers: self.workers,
            load: self.here,
            memory: total,
            free,
            to_bring: 0,
        };
        choose(peers.chain([here]), memory).filter(|process| *process > 0)
    }
}
