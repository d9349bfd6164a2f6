//! The engine of a process as the orders of process 0 see it: what they name is looked up, and what they bring is kept.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dataflow::Dataflow;
use crate::engine::{
    RemoteRequest, RemoteStep, RequestCanceller, RequestQueue, RequestSubmitter, StepRunner,
};
use crate::journal::RunRecord;
use crate::step::{Digest, Request};

use super::frames::{AnnouncedVersion, RunOrder, StepOrder};
use super::told_requests::ToldRequests;

/// The state that the frames of process 0 act on.
pub struct MemberEngine<'a> {
    queue: &'a RequestQueue,
    pub submitter: RequestSubmitter,
    pub canceller: RequestCanceller,
    pub runner: StepRunner,
    read: &'a (dyn Fn(&AnnouncedVersion) -> Option<Dataflow> + Sync),
    dataflows: HashMap<Digest, Arc<Dataflow>>,
    /// The requests of which steps were ordered over this connection.
    requests: ToldRequests<Arc<Request>>,
}

impl<'a> MemberEngine<'a> {
    pub fn new(
        queue: &'a RequestQueue,
        read: &'a (dyn Fn(&AnnouncedVersion) -> Option<Dataflow> + Sync),
    ) -> MemberEngine<'a> {
        let (submitter, canceller) = (queue.submitter(), queue.canceller());
        let (runner, dataflows) = (queue.step_runner(), HashMap::new());
        let requests = ToldRequests::default();
        MemberEngine { queue, submitter, canceller, runner, read, dataflows, requests }
    }

    /// Begins a connection, over which process 0 tells of requests anew.
    pub fn connect(&mut self) {
        self.requests.clear();
    }

    /// The request of an order.
    ///
    /// # Errors
    /// Its dataflow cannot be run here.
    pub fn request(&mut self, order: RunOrder, mut content: &[u8]) -> Result<RemoteRequest, String> {
        let RunOrder { ticket, key, request, priority, deadline, runs, dataflow } = order;
        let dataflow = self.dataflow(key.version, dataflow.as_ref())?;
        let (runs, priority) = (runs_of(runs, &mut content)?, priority.into());
        Ok(RemoteRequest { ticket, key, request, dataflow, priority, deadline, runs })
    }

    /// The step of an order.
    ///
    /// # Errors
    /// Its dataflow cannot be run here.
    pub fn step(&mut self, order: StepOrder, mut content: &[u8]) -> Result<RemoteStep, String> {
        let StepOrder { ticket, key, request, batch, inputs, input_bytes, runs, dataflow } = order;
        if let Some(request) = request {
            self.requests.add(key.request, request);
        }
        let request = Arc::clone(self.requests.get(&key.request).ok_or("it was not told of the request")?);
        let dataflow = self.dataflow(key.request.version, dataflow.as_ref())?;
        let of_inputs = content.split_off(..input_bytes).ok_or(NOT_WHOLE)?.to_vec();
        let runs = runs_of(runs, &mut content)?;
        Ok(RemoteStep { ticket, key, request, dataflow, batch, inputs, content: of_inputs, runs })
    }

    /// A dataflow that process 0 has told of, or tells of now.
    fn dataflow(
        &mut self,
        version: Digest,
        announced: Option<&AnnouncedVersion>,
    ) -> Result<Arc<Dataflow>, String> {
        if let Some(announced) = announced
            && !self.dataflows.contains_key(&version)
        {
            let read = (self.read)(announced).filter(|dataflow| dataflow.digest() == version);
            let short = version.short();
            let read =
                read.ok_or_else(|| format!("it does not know version {short} of {}", announced.name))?;
            let read = Arc::new(read);
            self.queue.add(&read).map_err(|refusal| refusal.to_string())?;
            self.dataflows.insert(version, read);
        }
        Ok(Arc::clone(self.dataflows.get(&version).ok_or("it was not told of the dataflow")?))
    }
}

const NOT_WHOLE: &str = "an order is not whole";

/// Runs with their contents, which follow each other.
pub(super) fn runs_of(
    runs: Vec<(RunRecord, usize)>,
    content: &mut &[u8],
) -> Result<Vec<(RunRecord, Vec<u8>)>, String> {
    let runs = runs.into_iter().map(|(record, bytes)| {
        let content = content.split_off(..bytes).ok_or(NOT_WHOLE)?;
        Ok((record, content.to_vec()))
    });
    runs.collect()
}
