//! Conversion of a message to XML (PS3.15 A.5.1), with the content that A.5.3 requires for each event.

use std::path::Path;
use std::time::SystemTime;

use super::code::{self, AuditCode};
use super::message::{
    ArrivalKind, AuditMessage, AuditNode, AuditSource, AuditSubject, EventOutcome, SecurityAlert,
    TransferInitiator,
};
use super::object;
use super::timestamp::timestamp;
use super::xml::XmlElement;

/// The message as one line of XML.
pub fn record(source: &AuditSource, message: &AuditMessage, at: SystemTime) -> String {
    let MessageParts { event, participants, objects } = parts(source, message);
    let root = XmlElement::new("AuditMessage")
        .holds([event.element(at)])
        .holds(participants)
        .holds([origin(source)])
        .holds(objects);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{root}")
}

struct MessageParts {
    event: EventIdentification,
    participants: Vec<XmlElement>,
    objects: Vec<XmlElement>,
}

fn parts(source: &AuditSource, message: &AuditMessage) -> MessageParts {
    match message {
        AuditMessage::Started => activity(source, code::APPLICATION_START),
        AuditMessage::Stopped => activity(source, code::APPLICATION_STOP),
        AuditMessage::Sending { to, what } => MessageParts {
            event: EventIdentification::new(code::BEGIN_TRANSFERRING, "E", &EventOutcome::Success),
            participants: outward(source, to),
            objects: object::subject(what),
        },
        AuditMessage::Sent { to, what, outcome } => MessageParts {
            // Whether the receiver had the instances before is unknown; A.5.3.7 requires "Read" in that case.
            event: EventIdentification::new(code::INSTANCES_TRANSFERRED, "R", outcome),
            participants: outward(source, to),
            objects: object::subject(what),
        },
        AuditMessage::Received { from, asked_by, arrival, what, outcome } => MessageParts {
            event: EventIdentification::new(code::INSTANCES_TRANSFERRED, received(*arrival), outcome),
            participants: inward(source, from, *asked_by),
            objects: object::subject(what),
        },
        AuditMessage::Queried { at, query, outcome } => MessageParts {
            event: EventIdentification::new(code::QUERY, "E", outcome),
            participants: outward(source, at),
            objects: vec![object::query(query)],
        },
        AuditMessage::Read { what, outcome } => stored(
            EventIdentification::new(code::INSTANCES_ACCESSED, "R", outcome),
            [own(source, YES, None)],
            what,
        ),
        AuditMessage::Imported { folder, what, outcome } => {
            let us = own(source, YES, Some(code::DESTINATION));
            let folder = media(source, folder, code::SOURCE_MEDIA);
            stored(EventIdentification::new(code::IMPORT, "C", outcome), [us, folder], what)
        }
        AuditMessage::Exported { folder, what, outcome } => {
            let us = own(source, YES, Some(code::SOURCE));
            let folder = media(source, folder, code::DESTINATION_MEDIA);
            stored(EventIdentification::new(code::EXPORT, "R", outcome), [us, folder], what)
        }
        AuditMessage::Alert { alert, about, description, outcome } => MessageParts {
            event: EventIdentification::new(code::SECURITY_ALERT, "E", outcome).of_kind(alert_kind(*alert)),
            participants: std::iter::once(own(source, YES, None))
                .chain(about.iter().map(|node| other(node, NO, None)))
                .collect(),
            objects: vec![object::alerted(source, about.as_ref(), description)],
        },
    }
}

fn activity(source: &AuditSource, kind: AuditCode) -> MessageParts {
    MessageParts {
        event: EventIdentification::new(code::APPLICATION_ACTIVITY, "E", &EventOutcome::Success)
            .of_kind(kind),
        participants: vec![own(source, NO, Some(code::APPLICATION))],
        objects: Vec::new(),
    }
}

fn stored(
    event: EventIdentification,
    participants: impl IntoIterator<Item = XmlElement>,
    what: &AuditSubject,
) -> MessageParts {
    MessageParts { event, participants: participants.into_iter().collect(), objects: object::subject(what) }
}

fn received(arrival: ArrivalKind) -> &'static str {
    match arrival {
        ArrivalKind::New => "C",
        ArrivalKind::Again => "R",
    }
}

fn alert_kind(alert: SecurityAlert) -> AuditCode {
    match alert {
        SecurityAlert::NodeAuthentication => code::NODE_AUTHENTICATION,
        SecurityAlert::RestrictedFunction => code::USE_OF_RESTRICTED_FUNCTION,
        SecurityAlert::RecordingStopped => code::AUDIT_RECORDING_STOPPED,
    }
}

struct EventIdentification {
    id: AuditCode,
    action: &'static str,
    kind: Option<AuditCode>,
    outcome: EventOutcome,
}

impl EventIdentification {
    fn new(id: AuditCode, action: &'static str, outcome: &EventOutcome) -> EventIdentification {
        EventIdentification { id, action, kind: None, outcome: outcome.clone() }
    }

    fn of_kind(self, kind: AuditCode) -> EventIdentification {
        EventIdentification { kind: Some(kind), ..self }
    }

    fn element(&self, at: SystemTime) -> XmlElement {
        let (indicator, reason) = match &self.outcome {
            EventOutcome::Success => ("0", None),
            EventOutcome::Minor(reason) => ("4", Some(reason)),
            EventOutcome::Serious(reason) => ("8", Some(reason)),
            EventOutcome::Major(reason) => ("12", Some(reason)),
        };
        XmlElement::new("EventIdentification")
            .with("EventActionCode", self.action)
            .with("EventDateTime", timestamp(at))
            .with("EventOutcomeIndicator", indicator)
            .holds([XmlElement::code("EventID", self.id)])
            .holds(self.kind.map(|kind| XmlElement::code("EventTypeCode", kind)))
            .holds(reason.map(|reason| XmlElement::new("EventOutcomeDescription").says(reason)))
    }
}

/// Whether a participant is the requestor of the event (UserIsRequestor); at most one is.
const YES: &str = "true";
const NO: &str = "false";

fn outward(source: &AuditSource, to: &AuditNode) -> Vec<XmlElement> {
    vec![own(source, YES, Some(code::SOURCE)), other(to, NO, Some(code::DESTINATION))]
}

fn inward(source: &AuditSource, from: &AuditNode, asked_by: TransferInitiator) -> Vec<XmlElement> {
    let (they, we) = match asked_by {
        TransferInitiator::Sender => (YES, NO),
        TransferInitiator::Us => (NO, YES),
    };
    vec![other(from, they, Some(code::SOURCE)), own(source, we, Some(code::DESTINATION))]
}

/// The present process by its process id, as in ordinary logs (PS3.15 A.5.2.1).
fn own(source: &AuditSource, requestor: &'static str, role: Option<AuditCode>) -> XmlElement {
    let user = source.process_id.to_string();
    participant(&user, &source.ae_titles.join(";"), requestor, &source.host, role).with("UserName", "flow")
}

fn other(node: &AuditNode, requestor: &'static str, role: Option<AuditCode>) -> XmlElement {
    let user = if node.ae_title.is_empty() { &node.address } else { &node.ae_title };
    participant(user, &node.ae_title, requestor, &node.address, role)
}

fn participant(
    user: &str,
    ae_titles: &str,
    requestor: &'static str,
    address: &str,
    role: Option<AuditCode>,
) -> XmlElement {
    let titles = if ae_titles.is_empty() { String::new() } else { format!("AETITLES={ae_titles}") };
    let element = XmlElement::new("ActiveParticipant")
        .with("UserID", user)
        .with_given("AlternativeUserID", &titles)
        .with("UserIsRequestor", requestor)
        .holds(role.map(|role| XmlElement::code("RoleIDCode", role)));
    if address.is_empty() {
        return element;
    }
    // NetworkAccessPointTypeCode: 1 is a machine name, 2 an IP address.
    let kind = if address.parse::<std::net::IpAddr>().is_ok() { "2" } else { "1" };
    element.with("NetworkAccessPointID", address).with("NetworkAccessPointTypeCode", kind)
}

fn media(source: &AuditSource, folder: &Path, role: AuditCode) -> XmlElement {
    let kind = XmlElement::code("MediaType", code::MEDIA_URI);
    participant(&object::file_uri(source, folder), "", NO, &source.host, Some(role))
        .holds([XmlElement::new("MediaIdentifier").holds([kind])])
}

fn origin(source: &AuditSource) -> XmlElement {
    // AuditSourceTypeCode 4: a process of an application server (PS3.15 A.5.1.2.1).
    let kind = XmlElement::new("AuditSourceTypeCode").with("csd-code", "4");
    XmlElement::new("AuditSourceIdentification")
        .with_given("AuditEnterpriseSiteID", &source.site)
        .with("AuditSourceID", source.id.as_str())
        .holds([kind])
}
