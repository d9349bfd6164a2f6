//! The objects of a message: patients, studies, queries, nodes (`ParticipantObjectIdentification`).

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::code::{self, AuditCode};
use super::message::{AuditNode, AuditPatient, AuditQuery, AuditSource, AuditStudy, AuditSubject};
use super::xml::XmlElement;

/// The identifier of an object that has none, where the schema requires one.
const NONE: &str = "<none>";

/// `ParticipantObjectTypeCode`.
const PERSON: &str = "1";
const SYSTEM_OBJECT: &str = "2";

/// `ParticipantObjectTypeCodeRole`.
const ROLE_PATIENT: &str = "1";
const ROLE_REPORT: &str = "3";
const ROLE_SECURITY_RESOURCE: &str = "13";

/// The studies, followed by their patient.
pub fn subject(subject: &AuditSubject) -> Vec<XmlElement> {
    subject.studies.iter().map(study).chain([patient(&subject.patient)]).collect()
}

fn study(study: &AuditStudy) -> XmlElement {
    // A study description with any other detail must also list the SOP classes.
    let is_said = !study.accession_number.is_empty() && !study.instances.is_empty();
    let accession =
        is_said.then(|| XmlElement::new("Accession").with("Number", study.accession_number.as_str()));
    let classes = study.instances.iter().map(|(uid, count)| {
        XmlElement::new("SOPClass").with("UID", uid.as_str()).with("NumberOfInstances", count.to_string())
    });
    let description = XmlElement::new("ParticipantObjectDescription").holds(accession).holds(classes);
    object(&study.uid, SYSTEM_OBJECT, ROLE_REPORT, code::STUDY_INSTANCE_UID)
        .holds([name(&study.uid), description])
}

fn patient(patient: &AuditPatient) -> XmlElement {
    object(&patient.id, PERSON, ROLE_PATIENT, code::PATIENT_NUMBER).holds([name(&patient.name)])
}

pub fn query(query: &AuditQuery) -> XmlElement {
    match query {
        AuditQuery::Dimse { sop_class_uid, transfer_syntax_uid, identifier } => {
            object(sop_class_uid, SYSTEM_OBJECT, ROLE_REPORT, code::SOP_CLASS_UID)
                .holds([asked(identifier), detail("TransferSyntax", transfer_syntax_uid)])
        }
        AuditQuery::Web { uri } => {
            object(uri, SYSTEM_OBJECT, ROLE_REPORT, code::URI).holds([asked(uri.as_bytes())])
        }
    }
}

/// The object of an alert: the node that caused it, or else this installation.
pub fn alerted(source: &AuditSource, about: Option<&AuditNode>, description: &str) -> XmlElement {
    let (id, title) = match about {
        Some(node) => (&node.address, &node.ae_title),
        None => (&source.host, &source.id),
    };
    object(id, SYSTEM_OBJECT, ROLE_SECURITY_RESOURCE, code::NODE_ID)
        .holds([name(title), detail("Alert Description", description)])
}

/// The path as a `file` URI with this host (RFC 8089), percent-encoded.
pub fn file_uri(source: &AuditSource, path: &Path) -> String {
    let escaped = path.as_os_str().as_encoded_bytes().iter().map(|byte| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("file://{}{}", source.host, escaped.collect::<String>())
}

fn object(id: &str, kind: &str, role: &str, id_kind: AuditCode) -> XmlElement {
    XmlElement::new("ParticipantObjectIdentification")
        .with("ParticipantObjectID", or_none(id))
        .with("ParticipantObjectTypeCode", kind)
        .with("ParticipantObjectTypeCodeRole", role)
        .holds([XmlElement::code("ParticipantObjectIDTypeCode", id_kind)])
}

fn name(text: &str) -> XmlElement {
    XmlElement::new("ParticipantObjectName").says(or_none(text))
}

fn asked(bytes: &[u8]) -> XmlElement {
    XmlElement::new("ParticipantObjectQuery").says(BASE64_STANDARD.encode(bytes))
}

fn detail(kind: &str, value: &str) -> XmlElement {
    XmlElement::new("ParticipantObjectDetail").with("type", kind).with("value", BASE64_STANDARD.encode(value))
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}
