//! Conversion of a message to XML (PS3.15 A.5.1), with the content that A.5.3 requires for each event.

use std::path::Path;
use std::time::SystemTime;

use super::code::{self, Code};
use super::message::{Alert, Arrival, AskedBy, Message, Node, Outcome, Source, Subject};
use super::object;
use super::timestamp::timestamp;
use super::xml::Element;

/// The message as one line of XML.
pub fn record(source: &Source, message: &Message, at: SystemTime) -> String {
    let Parts { event, participants, objects } = parts(source, message);
    let root = Element::new("AuditMessage")
        .holds([event.element(at)])
        .holds(participants)
        .holds([origin(source)])
        .holds(objects);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{root}")
}

struct Parts {
    event: Event,
    participants: Vec<Element>,
    objects: Vec<Element>,
}

fn parts(source: &Source, message: &Message) -> Parts {
    match message {
        Message::Started => activity(source, code::APPLICATION_START),
        Message::Stopped => activity(source, code::APPLICATION_STOP),
        Message::Sending { to, what } => Parts {
            event: Event::new(code::BEGIN_TRANSFERRING, "E", &Outcome::Success),
            participants: outward(source, to),
            objects: object::subject(what),
        },
        Message::Sent { to, what, outcome } => Parts {
            // Whether the receiver had the instances before is unknown; A.5.3.7 requires "Read" in that case.
            event: Event::new(code::INSTANCES_TRANSFERRED, "R", outcome),
            participants: outward(source, to),
            objects: object::subject(what),
        },
        Message::Received { from, asked_by, arrival, what, outcome } => Parts {
            event: Event::new(code::INSTANCES_TRANSFERRED, received(*arrival), outcome),
            participants: inward(source, from, *asked_by),
            objects: object::subject(what),
        },
        Message::Queried { at, query, outcome } => Parts {
            event: Event::new(code::QUERY, "E", outcome),
            participants: outward(source, at),
            objects: vec![object::query(query)],
        },
        Message::Read { what, outcome } => {
            stored(Event::new(code::INSTANCES_ACCESSED, "R", outcome), [own(source, YES, None)], what)
        }
        Message::Imported { folder, what, outcome } => {
            let us = own(source, YES, Some(code::DESTINATION));
            let folder = media(source, folder, code::SOURCE_MEDIA);
            stored(Event::new(code::IMPORT, "C", outcome), [us, folder], what)
        }
        Message::Exported { folder, what, outcome } => {
            let us = own(source, YES, Some(code::SOURCE));
            let folder = media(source, folder, code::DESTINATION_MEDIA);
            stored(Event::new(code::EXPORT, "R", outcome), [us, folder], what)
        }
        Message::Alert { alert, about, description, outcome } => Parts {
            event: Event::new(code::SECURITY_ALERT, "E", outcome).of_kind(alert_kind(*alert)),
            participants: std::iter::once(own(source, YES, None))
                .chain(about.iter().map(|node| other(node, NO, None)))
                .collect(),
            objects: vec![object::alerted(source, about.as_ref(), description)],
        },
    }
}

fn activity(source: &Source, kind: Code) -> Parts {
    Parts {
        event: Event::new(code::APPLICATION_ACTIVITY, "E", &Outcome::Success).of_kind(kind),
        participants: vec![own(source, NO, Some(code::APPLICATION))],
        objects: Vec::new(),
    }
}

fn stored(event: Event, participants: impl IntoIterator<Item = Element>, what: &Subject) -> Parts {
    Parts { event, participants: participants.into_iter().collect(), objects: object::subject(what) }
}

fn received(arrival: Arrival) -> &'static str {
    match arrival {
        Arrival::New => "C",
        Arrival::Again => "R",
    }
}

fn alert_kind(alert: Alert) -> Code {
    match alert {
        Alert::NodeAuthentication => code::NODE_AUTHENTICATION,
        Alert::RestrictedFunction => code::USE_OF_RESTRICTED_FUNCTION,
        Alert::RecordingStopped => code::AUDIT_RECORDING_STOPPED,
    }
}

struct Event {
    id: Code,
    action: &'static str,
    kind: Option<Code>,
    outcome: Outcome,
}

impl Event {
    fn new(id: Code, action: &'static str, outcome: &Outcome) -> Event {
        Event { id, action, kind: None, outcome: outcome.clone() }
    }

    fn of_kind(self, kind: Code) -> Event {
        Event { kind: Some(kind), ..self }
    }

    fn element(&self, at: SystemTime) -> Element {
        let (indicator, reason) = match &self.outcome {
            Outcome::Success => ("0", None),
            Outcome::Minor(reason) => ("4", Some(reason)),
            Outcome::Serious(reason) => ("8", Some(reason)),
            Outcome::Major(reason) => ("12", Some(reason)),
        };
        Element::new("EventIdentification")
            .with("EventActionCode", self.action)
            .with("EventDateTime", timestamp(at))
            .with("EventOutcomeIndicator", indicator)
            .holds([Element::code("EventID", self.id)])
            .holds(self.kind.map(|kind| Element::code("EventTypeCode", kind)))
            .holds(reason.map(|reason| Element::new("EventOutcomeDescription").says(reason)))
    }
}

/// Whether a participant is the requestor of the event (UserIsRequestor); at most one is.
const YES: &str = "true";
const NO: &str = "false";

fn outward(source: &Source, to: &Node) -> Vec<Element> {
    vec![own(source, YES, Some(code::SOURCE)), other(to, NO, Some(code::DESTINATION))]
}

fn inward(source: &Source, from: &Node, asked_by: AskedBy) -> Vec<Element> {
    let (they, we) = match asked_by {
        AskedBy::Sender => (YES, NO),
        AskedBy::Us => (NO, YES),
    };
    vec![other(from, they, Some(code::SOURCE)), own(source, we, Some(code::DESTINATION))]
}

/// The present process by its process id, as in ordinary logs (PS3.15 A.5.2.1).
fn own(source: &Source, requestor: &'static str, role: Option<Code>) -> Element {
    let user = source.process_id.to_string();
    participant(&user, &source.ae_titles.join(";"), requestor, &source.host, role).with("UserName", "flow")
}

fn other(node: &Node, requestor: &'static str, role: Option<Code>) -> Element {
    let user = if node.ae_title.is_empty() { &node.address } else { &node.ae_title };
    participant(user, &node.ae_title, requestor, &node.address, role)
}

fn participant(
    user: &str,
    ae_titles: &str,
    requestor: &'static str,
    address: &str,
    role: Option<Code>,
) -> Element {
    let titles = if ae_titles.is_empty() { String::new() } else { format!("AETITLES={ae_titles}") };
    let element = Element::new("ActiveParticipant")
        .with("UserID", user)
        .with_given("AlternativeUserID", &titles)
        .with("UserIsRequestor", requestor)
        .holds(role.map(|role| Element::code("RoleIDCode", role)));
    if address.is_empty() {
        return element;
    }
    // NetworkAccessPointTypeCode: 1 is a machine name, 2 an IP address.
    let kind = if address.parse::<std::net::IpAddr>().is_ok() { "2" } else { "1" };
    element.with("NetworkAccessPointID", address).with("NetworkAccessPointTypeCode", kind)
}

fn media(source: &Source, folder: &Path, role: Code) -> Element {
    let kind = Element::code("MediaType", code::MEDIA_URI);
    participant(&object::file_uri(source, folder), "", NO, &source.host, Some(role))
        .holds([Element::new("MediaIdentifier").holds([kind])])
}

fn origin(source: &Source) -> Element {
    // AuditSourceTypeCode 4: a process of an application server (PS3.15 A.5.1.2.1).
    let kind = Element::new("AuditSourceTypeCode").with("csd-code", "4");
    Element::new("AuditSourceIdentification")
        .with_given("AuditEnterpriseSiteID", &source.site)
        .with("AuditSourceID", source.id.as_str())
        .holds([kind])
}
