//! Report of `flow run` on each response, and the counts that decide its exit code.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::admission::{DeliveryRecord, FileState};
use crate::dataflow::{Response, ResponseReservation, ResponseVerdict};
use crate::outbox::OutboxEvent;
use crate::printable::{PrintableLines, counted};
use crate::step::{Digest, Request};
use crate::yaml::duration::shown;

use super::exit::CommandExit;
use super::output;
use super::progress::ProgressDisplay;

pub struct ResponseReporter {
    progress: Arc<ProgressDisplay>,
    json: bool,
    troubled: AtomicBool,
    complete: AtomicUsize,
    reserved: AtomicUsize,
    failed: AtomicUsize,
    /// The requests that are counted, in a run that ends by itself: one that was in work before a crash is answered as
    /// it is taken up, and once more as it is given again.
    counted: Option<Mutex<HashSet<Digest>>>,
}

/// One line of `--json`.
#[derive(Serialize)]
struct ResponseLine<'a> {
    request: Digest,
    name: &'a str,
    verdict: ResponseVerdict,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reservations: &'a [ResponseReservation],
    /// The folder of the response, if there is one.
    place: Option<&'a Path>,
    deliveries: &'a [DeliveryRecord],
}

impl ResponseReporter {
    /// `is_service`: the run has no end, so that its requests are only counted.
    pub fn new(progress: &Arc<ProgressDisplay>, json: bool, is_service: bool) -> ResponseReporter {
        ResponseReporter {
            progress: Arc::clone(progress),
            json,
            troubled: AtomicBool::new(false),
            complete: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            counted: (!is_service).then(Mutex::default),
        }
    }

    pub fn tell(&self, event: &OutboxEvent) {
        match event {
            OutboxEvent::NotWritten { request, error, wait } => {
                let again = wait.map(|wait| format!("; again in {}", shown(wait)));
                if again.is_none() {
                    self.troubled.store(true, Ordering::Relaxed);
                }
                let (name, again) = (&request.name, again.unwrap_or_default());
                let text = format!("the response to {name} is not delivered: {error}{again}");
                let hint = "make room or mend the folder; the results stay in the store below --state";
                self.progress.say(&PrintableLines::of(text).line(format_args!("  hint: {hint}")));
            }
            OutboxEvent::Delayed { request, delivery, wait } => {
                self.not_delivered(request, delivery, &format!("; again in {}", shown(*wait)));
            }
            OutboxEvent::Forwarded { request, delivery } => self.forwarded(request, delivery),
            OutboxEvent::Answered { request, response, place, deliveries } => {
                self.answered(request, response, *place, deliveries);
            }
        }
    }

    pub fn exit(&self) -> CommandExit {
        if self.troubled.load(Ordering::Relaxed) { CommandExit::WithErrors } else { CommandExit::Done }
    }

    /// Prints the numbers of responses by kind, if there was more than one.
    pub fn conclude(&self) {
        let [complete, reserved, failed] =
            [&self.complete, &self.reserved, &self.failed].map(|count| count.load(Ordering::Relaxed));
        let all = complete + reserved + failed;
        if all > 1 {
            let with = if reserved > 0 { format!("{reserved} with reservations, ") } else { String::new() };
            self.progress.say_line(format_args!(
                "{all} answered: {complete} complete, {with}{failed} with an error response"
            ));
        }
    }

    fn count(&self, request: &Request, verdict: ResponseVerdict) {
        let count = match verdict {
            ResponseVerdict::Complete => &self.complete,
            ResponseVerdict::CompleteWithReservations => &self.reserved,
            ResponseVerdict::Failed => {
                self.troubled.store(true, Ordering::Relaxed);
                &self.failed
            }
            // Only the final response counts.
            ResponseVerdict::Unfinished => return,
        };
        let is_new = |counted: &Mutex<HashSet<Digest>>| {
            counted.lock().unwrap_or_else(PoisonError::into_inner).insert(request.id)
        };
        if self.counted.as_ref().is_none_or(is_new) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn forwarded(&self, request: &Request, delivery: &DeliveryRecord) {
        if !delivery.complete {
            self.troubled.store(true, Ordering::Relaxed);
            return self.not_delivered(request, delivery, "");
        }
        if delivery.files.is_empty() {
            return;
        }
        let (stored, destination) = (delivery.files.len(), &delivery.destination);
        let head = format!("delivered {}  {} to {destination}", request.name, counted(stored, "object"));
        let mut lines = PrintableLines::of(head);
        for file in delivery.files.iter().filter(|file| file.state == FileState::Warned) {
            lines.push(format_args!("  WARNING: {}: {}", file.name, file.answer));
        }
        self.progress.say(&lines);
    }

    fn not_delivered(&self, request: &Request, delivery: &DeliveryRecord, then: &str) {
        let DeliveryRecord { destination, tries, trouble, files, .. } = delivery;
        let head = format!(
            "NOT DELIVERED {} to {destination} after {}{then}",
            request.name,
            if *tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") }
        );
        let mut lines = PrintableLines::of(head);
        trouble.iter().for_each(|trouble| lines.push(format_args!("  {trouble}")));
        for file in files.iter().filter(|file| file.state != FileState::Stored) {
            lines.push(format_args!("  {}: {}", file.name, file.answer));
        }
        self.progress.say(&lines);
    }

    fn answered(
        &self,
        request: &Request,
        response: &Response,
        place: Option<&Path>,
        deliveries: &[DeliveryRecord],
    ) {
        self.count(request, response.verdict);
        let line = if self.json {
            let (name, verdict) = (request.name.as_str(), response.verdict);
            let reservations = &response.reservations;
            let line = ResponseLine { request: request.id, name, verdict, reservations, place, deliveries };
            output::json(&line)
        } else {
            place.map_or_else(|| request.name.clone(), |place| place.display().to_string())
        };
        // A closed output does not end the run.
        let _ = output::print_line(line);
    }
}
