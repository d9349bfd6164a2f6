//! One attempt to deliver a response to a destination.

use std::fmt;
use std::sync::Arc;

use crate::admission::{
    DeliveryErrorKind, DeliveryRecord, DeliveryTrouble, Destination, FileDelivery, FileState,
    OutgoingResponse, PartFinding,
};

use crate::dataflow::ResponseVerdict;

use super::DeliveryPolicy;

/// A destination with its retry policy.
#[derive(Clone)]
pub struct DestinationService {
    pub destination: Arc<dyn Destination>,
    pub policy: DeliveryPolicy,
    /// Another name by which operators call it, for example that in the site's file.
    pub alias: Option<String>,
}

/// The result of an attempt.
pub(super) struct DeliveryAttempt {
    /// Whether a part got a final answer in this attempt: it is there, or was refused for good. There are
    /// only as many such attempts as parts.
    pub is_fruitful: bool,
    /// Whether another attempt would change nothing.
    pub is_decided: bool,
    pub trouble: Option<DeliveryErrorKind>,
}

/// One attempt to deliver a response to a destination; `note` is called for each file with news.
struct Attempt<'a> {
    outgoing: OutgoingResponse<'a>,
    delivery: &'a mut DeliveryRecord,
    note: &'a dyn Fn(&FileDelivery),
    is_fruitful: bool,
}

impl DestinationService {
    /// Verifies the parts that were sent, sends those that are not there yet, and calls `note` for each part
    /// with news.
    pub(super) fn attempt(
        &self,
        outgoing: OutgoingResponse,
        delivery: &mut DeliveryRecord,
        note: &dyn Fn(&FileDelivery),
    ) -> DeliveryAttempt {
        delivery.tries += 1;
        delivery.trouble = None;
        let parts = self.destination.parts(outgoing.response);
        delivery.nothing_to_send = self.nothing_to_send(&outgoing, &parts);
        if delivery.nothing_to_send.is_some() {
            delivery.complete = true;
            return DeliveryAttempt { is_fruitful: false, is_decided: true, trouble: None };
        }
        let mut attempt = Attempt { outgoing, delivery, note, is_fruitful: false };
        let looked = self.verify(FileState::Missing, &parts, &mut attempt);
        let sent = self.send(&parts, &mut attempt);
        let verified = sent.and_then(|()| self.verify(FileState::Sent, &parts, &mut attempt));
        let trouble = verified.and(looked).err();
        let is_fruitful = attempt.is_fruitful;
        delivery.trouble = trouble.as_ref().map(|trouble| trouble.text.clone());
        delivery.judge(&parts);
        let is_decided = delivery.is_decided(&parts);
        DeliveryAttempt { is_fruitful, is_decided, trouble: trouble.map(|trouble| trouble.kind) }
    }

    /// The reason if no part of a response goes to this destination.
    fn nothing_to_send(&self, outgoing: &OutgoingResponse, parts: &[String]) -> Option<String> {
        let reason = match outgoing.response.verdict {
            _ if !self.destination.takes(outgoing.request) => "the response is not for this destination",
            _ if !parts.is_empty() => return None,
            ResponseVerdict::Failed => {
                "the error response has no files for this destination: the dataflow's failure part makes none"
            }
            _ => "the response has no files for this destination",
        };
        Some(reason.to_owned())
    }

    fn send(&self, parts: &[String], attempt: &mut Attempt) -> Result<(), DeliveryTrouble> {
        let outgoing = attempt.outgoing;
        let mut partial = None;
        for group in groups(attempt.delivery.unsent(parts), attempt.delivery) {
            let sent = self.destination.send(&outgoing, &group, &mut |answer| {
                let broke_off = attempt.delivery.broke_off(&answer.part);
                attempt.learn(FileDelivery::answered(answer, broke_off));
            });
            match sent {
                Err(trouble) if trouble.kind == DeliveryErrorKind::Partial => partial = Some(trouble),
                sent => sent?,
            }
        }
        partial.map_or(Ok(()), Err)
    }

    /// Verifies the parts in a state.
    fn verify(
        &self,
        state: FileState,
        parts: &[String],
        attempt: &mut Attempt,
    ) -> Result<(), DeliveryTrouble> {
        let parts = attempt.delivery.in_state(parts, state);
        if parts.is_empty() {
            return Ok(());
        }
        let outgoing = attempt.outgoing;
        let mut open = parts.clone();
        let looked = self.destination.verify(&outgoing, &parts, &mut |finding| {
            open.retain(|part| *part != finding.part);
            attempt.found(finding);
        });
        if looked.is_ok() {
            let unknown = || Err("the destination did not report on it".to_owned());
            let untold = open.iter().map(|part| PartFinding { part: (*part).to_owned(), safe: unknown() });
            untold.for_each(|finding| attempt.found(finding));
        }
        looked
    }
}

impl Attempt<'_> {
    fn learn(&mut self, file: FileDelivery) {
        if self.delivery.note(file.clone()) {
            self.is_fruitful |= !file.state.is_open();
            (self.note)(&file);
        }
    }

    fn found(&mut self, PartFinding { part, safe }: PartFinding) {
        let file = self.delivery.files.iter().find(|file| file.name == part);
        if let Some(file) = file.map(|file| file.verified(safe)) {
            self.learn(file);
        }
    }
}

impl fmt::Debug for DestinationService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.destination.name();
        f.debug_struct("Forward").field("destination", &name).field("policy", &self.policy).finish()
    }
}

/// Groups of parts that are sent together. A part during which the connection broke is sent alone and after
/// the others, as it may be the cause; parts with more broken connections come last.
fn groups<'a>(parts: Vec<&'a str>, delivery: &DeliveryRecord) -> Vec<Vec<&'a str>> {
    let broke_off = |part: &&str| delivery.broke_off(part);
    let (mut suspects, innocent): (Vec<&str>, Vec<&str>) =
        parts.into_iter().partition(|part| broke_off(part) > 0);
    suspects.sort_by_key(broke_off);
    let together = Some(innocent).filter(|innocent| !innocent.is_empty());
    together.into_iter().chain(suspects.into_iter().map(|part| vec![part])).collect()
}
