//! The thread that sends traces of answered requests. It holds up nothing: where it is behind, traces are left out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::calls::ServicePost;
use crate::dataflow::Response;
use crate::journal::{JournalError, JournalReader};
use crate::step::{CallAttempt, Digest};

use super::otlp::export_request;
use super::span::RequestTrace;

/// The thread. Dropping this sends what is left, and waits for that for a short time.
pub struct TraceExporter {
    queue: TraceQueue,
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Takes answered requests.
#[derive(Clone)]
pub struct TraceQueue(SyncSender<TraceMessage>);

enum TraceMessage {
    Answered(TracedRequest),
    End,
}

/// An answered request: the id of its items and its dataflow.
struct TracedRequest {
    id: Digest,
    dataflow: Arc<str>,
}

/// The requests that wait for being sent.
const QUEUE_MAX: usize = 4_096;

/// The most traces in a POST.
const TRACES_MAX: usize = 64;

/// The time for which traces are gathered, within which the last record of a request is on the disk.
const GATHER: Duration = Duration::from_secs(1);

/// The waits before further tries of a POST.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// The longest time for one POST.
const POST_TIME_MAX: Duration = Duration::from_secs(5);

impl TraceExporter {
    /// Sends traces of the requests in the journal of a state folder to a collector.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(state: &Path, url: &str) -> io::Result<TraceExporter> {
        let (queue, answered) = sync_channel(QUEUE_MAX);
        let is_ending = Arc::new(AtomicBool::new(false));
        let (state, url, ending) = (state.to_owned(), url.to_owned(), Arc::clone(&is_ending));
        let thread = TraceThread { state, url, answered, is_ending: ending, is_refused: false };
        let thread = Builder::new().name("flow:traces".to_owned()).spawn(move || thread.run())?;
        Ok(TraceExporter { queue: TraceQueue(queue), is_ending, thread: Some(thread) })
    }

    /// The queue of answered requests.
    pub fn queue(&self) -> TraceQueue {
        self.queue.clone()
    }
}

impl TraceQueue {
    /// Notes that a request has been answered.
    pub fn note(&self, response: &Response) {
        let answered = TracedRequest { id: response.request, dataflow: response.dataflow.clone() };
        // Where the collector is slow, traces are left out.
        let _ = self.0.try_send(TraceMessage::Answered(answered));
    }
}

impl Drop for TraceExporter {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.is_ending.store(true, Ordering::Release);
        thread.thread().unpark();
        // The thread takes what stands before this without a further try.
        let _ = self.queue.0.send(TraceMessage::End);
        let _ = thread.join();
    }
}

struct TraceThread {
    state: PathBuf,
    url: String,
    answered: Receiver<TraceMessage>,
    is_ending: Arc<AtomicBool>,
    /// Whether the collector did not take the last traces.
    is_refused: bool,
}

impl TraceThread {
    fn run(mut self) {
        while let Ok(TraceMessage::Answered(first)) = self.answered.recv() {
            let (requests, is_last) = self.gather(first);
            let traces = self.traces(&requests).unwrap_or_else(|error| {
                tracing::warn!(%error, "requests could not be read for their traces");
                Vec::new()
            });
            traces.chunks(TRACES_MAX).for_each(|traces| self.send(traces));
            if is_last {
                return;
            }
        }
    }

    /// The requests of a second, and whether there will be no more.
    fn gather(&self, first: TracedRequest) -> (Vec<TracedRequest>, bool) {
        let (until, mut requests) = (Instant::now() + GATHER, vec![first]);
        loop {
            match self.answered.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(TraceMessage::Answered(request)) => requests.push(request),
                Err(RecvTimeoutError::Timeout) => return (requests, false),
                Ok(TraceMessage::End) | Err(RecvTimeoutError::Disconnected) => return (requests, true),
            }
        }
    }

    fn traces(&self, requests: &[TracedRequest]) -> Result<Vec<RequestTrace>, JournalError> {
        let reader = JournalReader::open(&self.state)?;
        let mut traces = Vec::new();
        for request in requests {
            if let Some(row) = reader.row_of(request.id, &request.dataflow)? {
                traces.extend(RequestTrace::of(&reader.history(row.number)?));
            }
        }
        Ok(traces)
    }

    /// Sends traces; with further tries, unless the collector is known not to take any or this is the end.
    fn send(&mut self, traces: &[RequestTrace]) {
        let body = export_request(traces, &self.state.display().to_string());
        let post = ServicePost { url: &self.url, headers: &[], body: &body };
        let attempt = CallAttempt { key: Digest::of(&body), timeout: POST_TIME_MAX };
        for wait in AGAIN.into_iter().map(Some).chain([None]) {
            let Err(failed) = post.send_alone(&attempt) else {
                self.is_refused = false;
                return;
            };
            match wait.filter(|_| !self.is_refused && !self.is_ending.load(Ordering::Acquire)) {
                Some(wait) => std::thread::park_timeout(wait),
                None => return self.leave_out(&failed.fault.reason),
            }
        }
    }

    /// Says once for each outage that traces are left out.
    fn leave_out(&mut self, reason: &str) {
        if !self.is_refused {
            tracing::warn!(reason, "the collector does not take traces: they are left out until it does");
        }
        self.is_refused = true;
    }
}
