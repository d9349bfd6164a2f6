//! The orders of process 0 to the others, as its engine gives them: requests and steps to run.

use std::sync::Arc;

use crate::dataflow::ProcessLabel;
use crate::engine::{
    RemotePeer, RemoteProcesses, RemoteReports, RemoteRequest, RemoteRequestKey, RemoteStep, RemoteStepKey,
    StepProcesses, StepValue,
};
use crate::step::Digest;

use super::coordinator::CoordinatorShared;
use super::frames::{AnnouncedVersion, OrderFrame, RunOrder, StepOrder};
use super::member_entry::MemberEntry;

impl RemoteProcesses for CoordinatorShared {
    fn start(&self, reports: RemoteReports) {
        self.begin(reports);
    }

    fn peers(&self) -> Vec<RemotePeer> {
        let state = self.lock();
        let is_peer = |member: &MemberEntry| member.is_connected() && !member.is_joined;
        let connected = (1..).zip(&state.members).filter(|(_, member)| is_peer(member));
        connected.map(|(process, member)| member.peer(process)).collect()
    }

    fn holder(&self, key: &RemoteRequestKey) -> Option<usize> {
        let state = self.lock();
        (1..).zip(&state.members).find(|(_, member)| member.holds(key)).map(|(process, _)| process)
    }

    fn held(&self) -> Vec<RemoteRequestKey> {
        self.lock().members.iter().flat_map(MemberEntry::held).collect()
    }

    fn release(&self, key: &RemoteRequestKey) {
        self.lock().members.iter_mut().for_each(|member| member.release(key));
    }

    fn run(&self, process: usize, request: &RemoteRequest) -> Option<u64> {
        let mut state = self.lock();
        let member = state.members.get_mut(process.checked_sub(1)?)?;
        let generation = member.generation().filter(|_| member.is_connected())?;
        let (ticket, key) = (request.ticket, request.key);
        let memory = request.dataflow.memory.estimate(&request.request);
        if member.holds(&key) {
            // It has the request and its runs.
            let frame = OrderFrame::Resume { ticket, key, has_deadline: request.deadline.is_some() };
            return member.send(&frame, &[]).then(|| {
                member.begin(ticket, &key, memory);
                generation
            });
        }
        let runs = request.runs.iter().map(|(record, content)| (record.clone(), content.len()));
        let order = RunOrder {
            ticket,
            key,
            request: Arc::clone(&request.request),
            priority: request.priority.into(),
            deadline: request.deadline,
            runs: runs.collect(),
            dataflow: member.tell(key.version).then(|| AnnouncedVersion::of(&request.dataflow)),
        };
        let content: Vec<u8> = request.runs.iter().flat_map(|(_, content)| content).copied().collect();
        let is_sent = member.send(&OrderFrame::Run(Box::new(order)), &content);
        is_sent.then(|| {
            member.begin(ticket, &key, memory);
            generation
        })
    }

    fn cancel(&self, process: usize, key: &RemoteRequestKey) {
        let state = self.lock();
        let member = process.checked_sub(1).and_then(|index| state.members.get(index));
        // If it is not there, the request is cancelled where it begins again.
        member.iter().for_each(|member| _ = member.send(&OrderFrame::Cancel(*key), &[]));
    }

    fn ended(&self, process: usize, ticket: u64) {
        let mut state = self.lock();
        let member = process.checked_sub(1).and_then(|index| state.members.get_mut(index));
        member.into_iter().for_each(|member| member.end(ticket));
    }
}

impl StepProcesses for CoordinatorShared {
    fn generation(&self, process: usize) -> Option<u64> {
        self.lock().members.get(process.checked_sub(1)?)?.generation()
    }

    fn has_label(&self, label: &ProcessLabel) -> bool {
        self.hello.labels.contains(label)
    }

    fn labelled(&self, label: &ProcessLabel, version: &Digest) -> Vec<RemotePeer> {
        let state = self.lock();
        let members = (1..).zip(&state.members).filter(|(_, member)| member.is_place(label, version));
        members.map(|(process, member)| member.peer(process)).collect()
    }

    fn left_out(&self, process: usize, memory: u64) {
        let mut state = self.lock();
        let member = process.checked_sub(1).and_then(|index| state.members.get_mut(index));
        if let Some(reason) = member.and_then(|member| member.leave_out(memory)) {
            tracing::warn!("process {process} {reason}");
        }
    }

    fn step_holder(&self, key: &RemoteStepKey) -> Option<usize> {
        let state = self.lock();
        (1..).zip(&state.members).find(|(_, member)| member.holds_step(key)).map(|(process, _)| process)
    }

    fn run_step(&self, process: usize, step: &RemoteStep) -> Option<u64> {
        let mut state = self.lock();
        let member = state.members.get_mut(process.checked_sub(1)?)?;
        let generation = member.generation().filter(|_| member.is_connected())?;
        let runs = step.runs.iter().map(|(record, content)| (record.clone(), content.len()));
        let order = StepOrder {
            ticket: step.ticket,
            key: step.key,
            request: member.tell_request(&step.key.request).then(|| Arc::clone(&step.request)),
            batch: step.batch,
            inputs: step.inputs.clone(),
            input_bytes: step.content.len(),
            runs: runs.collect(),
            dataflow: member.tell(step.key.request.version).then(|| AnnouncedVersion::of(&step.dataflow)),
        };
        let contents = step.runs.iter().map(|(_, content)| content.as_slice());
        let contents: Vec<&[u8]> = std::iter::once(step.content.as_slice()).chain(contents).collect();
        let is_sent = member.send(&OrderFrame::Step(Box::new(order)), &contents.concat());
        is_sent.then(|| {
            member.begin_step(step.ticket, &step.key, step.dataflow.memory.estimate(&step.request));
            generation
        })
    }

    fn cancel_step(&self, process: usize, ticket: u64) {
        let state = self.lock();
        let member = process.checked_sub(1).and_then(|index| state.members.get(index));
        // If it is not there, nothing of the step goes on that counts.
        member.iter().for_each(|member| _ = member.send(&OrderFrame::CancelStep { ticket }, &[]));
    }

    fn shares_store(&self, process: usize) -> bool {
        let state = self.lock();
        let member = process.checked_sub(1).and_then(|index| state.members.get(index));
        member.is_some_and(|member| !member.is_joined)
    }

    fn fetch(&self, process: usize, ticket: u64, digest: Digest) -> Option<Vec<u8>> {
        let index = process.checked_sub(1)?;
        let exchange = self.lock().members.get(index)?.exchange();
        exchange.fetch(ticket, StepValue::Stored(digest), |request| {
            let state = self.lock();
            let frame = OrderFrame::Fetch(request.clone());
            state.members.get(index).is_some_and(|member| member.send(&frame, &[]))
        })
    }

    fn step_ended(&self, process: usize, ticket: u64) {
        let mut state = self.lock();
        let member = process.checked_sub(1).and_then(|index| state.members.get_mut(index));
        if let Some(member) = member {
            member.end_step(ticket);
            // If it is not there, it has the step under no ticket.
            member.send(&OrderFrame::StepTaken { ticket }, &[]);
        }
    }
}
