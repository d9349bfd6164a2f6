//! What `flow run` says of each response, and what it remembers for its exit code.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::Serialize;

use crate::dataflow::{Response, Verdict};
use crate::outbox::{Delivery, Event};
use crate::step::{Digest, Request};

use super::exit::{Exit, Failure, Kind};
use super::progress::Progress;

pub struct Teller {
    progress: Arc<Progress>,
    json: bool,
    troubled: AtomicBool,
    complete: AtomicUsize,
    failed: AtomicUsize,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    request: Digest,
    name: &'a str,
    verdict: Verdict,
    place: &'a Path,
    deliveries: &'a [Delivery],
}

impl Teller {
    pub fn new(progress: &Arc<Progress>, json: bool) -> Teller {
        Teller {
            progress: Arc::clone(progress),
            json,
            troubled: AtomicBool::new(false),
            complete: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        }
    }

    pub fn tell(&self, event: &Event) {
        match event {
            Event::NotWritten { request, error } => {
                self.troubled.store(true, Ordering::Relaxed);
                let failure = Failure::new(Kind::InputOutput, super::exit::with_causes(error));
                let text = format!("the response to {} is not delivered: {failure}", request.name);
                let hint = "make room or mend the folder; the results stay in the store below --state";
                self.progress.say(&format!("{text}\n  hint: {hint}"));
            }
            Event::Forwarded { request, delivery } => self.forwarded(request, delivery),
            Event::Answered { request, response, place, deliveries } => {
                self.answered(request, response, place, deliveries);
            }
        }
    }

    pub fn exit(&self) -> Exit {
        if self.troubled.load(Ordering::Relaxed) { Exit::WithErrors } else { Exit::Done }
    }

    /// Says how many requests were answered how, where there was more than one.
    pub fn conclude(&self) {
        let (complete, failed) = (self.complete.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        if complete + failed > 1 {
            let all = complete + failed;
            self.progress
                .say(&format!("{all} answered: {complete} complete, {failed} with an error response"));
        }
    }

    fn forwarded(&self, request: &Request, delivery: &Delivery) {
        let stored = delivery.files.iter().filter(|file| file.stored).count();
        let Delivery { destination, tries, .. } = delivery;
        if delivery.complete {
            return self
                .progress
                .say(&format!("delivered {}  {stored} objects to {destination}", request.name));
        }
        self.troubled.store(true, Ordering::Relaxed);
        self.progress.say(&format!("NOT DELIVERED {} to {destination} after {tries} tries", request.name));
        delivery.trouble.iter().for_each(|trouble| self.progress.say(&format!("  {trouble}")));
        for file in delivery.files.iter().filter(|file| !file.stored) {
            self.progress.say(&format!("  {}: {}", file.name, file.answer));
        }
    }

    fn answered(&self, request: &Request, response: &Response, place: &Path, deliveries: &[Delivery]) {
        match response.verdict {
            Verdict::Complete => _ = self.complete.fetch_add(1, Ordering::Relaxed),
            Verdict::Failed => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.troubled.store(true, Ordering::Relaxed);
            }
            // The final one is what counts.
            Verdict::Unfinished => {}
        }
        let line = if self.json {
            let (name, verdict) = (request.name.as_str(), response.verdict);
            let line = Line { request: request.id, name, verdict, place, deliveries };
            serde_json::to_string(&line).expect("a line is made of texts and numbers")
        } else {
            place.display().to_string()
        };
        // A reader that has gone away does not end the work.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
