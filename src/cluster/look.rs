//! The look of process 0 at all others, every now and then: which one is gone for good, and how all stand.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::RemoteReports;
use crate::printable::counted;

use super::coordinator::{CoordinatorShared, CoordinatorState};
use super::member_entry::MemberEntry;
use super::standing::{ClusterStanding, ProcessStanding};

/// How often it is looked which process is gone for good.
const LOOK: Duration = Duration::from_millis(200);

impl CoordinatorShared {
    /// Looks until the end.
    pub(super) fn look(&self) {
        let mut written = None;
        while !self.is_ended.load(Ordering::Acquire) {
            let mut state = self.lock();
            let gone: Vec<(usize, String, (usize, usize))> = (1..)
                .zip(&mut state.members)
                .filter_map(|(process, member)| Some((process, member.address.clone(), member.expire()?)))
                .collect();
            // One that joined and has left is nobody's concern.
            let members = (1..).zip(&state.members);
            let members = members.filter(|(_, member)| !(member.is_joined && member.is_gone()));
            let members = members.map(|(process, member)| member.standing(process));
            let processes = std::iter::once(self.own_standing()).chain(members).collect();
            let generation = state.generation;
            drop(state);
            let waiting = self.reports.get().map(RemoteReports::waiting_steps).unwrap_or_default();
            let standing = ClusterStanding { generation, processes, waiting };
            for (process, address, (requests, steps)) in &gone {
                let (requests, steps) = (counted(*requests, "request"), counted(*steps, "step"));
                tracing::warn!(
                    "process {process} at {address} is lost; {requests} and {steps} of it begin elsewhere"
                );
            }
            if !gone.is_empty() {
                self.note_change();
            }
            if written.as_ref() != Some(&standing) {
                self.file.write(&standing);
                written = Some(standing);
            }
            let waits = |_: &mut CoordinatorState| !self.is_ended.load(Ordering::Acquire);
            drop(self.changed.wait_timeout_while(self.lock(), LOOK, waits));
        }
    }

    /// How this process stands.
    fn own_standing(&self) -> ProcessStanding {
        let share = self.reports.get().map(RemoteReports::own_share).unwrap_or_default();
        ProcessStanding {
            process: 0,
            address: self.hosts.addresses()[0].clone(),
            is_connected: true,
            since_ms: self.since_ms,
            requests: share.requests,
            waiting: share.waiting,
            labels: self.hello.labels.clone(),
            memory: self.hello.memory,
            memory_taken: share.memory_taken,
            workers: self.hello.workers,
            ..ProcessStanding::default()
        }
    }
}

impl CoordinatorState {
    /// The index of a process that joins: its earlier one, or that of one that has left, or a new one.
    pub(super) fn joined(&mut self, instance: u64, from: SocketAddr) -> usize {
        let entry = MemberEntry::joined(from.to_string());
        let own = |member: &MemberEntry| member.is_joined && member.is_of(instance);
        let known = self.members.iter().position(own);
        let known = known.or_else(|| self.members.iter().position(|one| one.is_joined && one.is_gone()));
        match known {
            Some(index) => {
                if self.members[index].is_gone() {
                    self.members[index] = entry;
                }
                index + 1
            }
            None => {
                self.members.push(entry);
                self.members.len()
            }
        }
    }
}
