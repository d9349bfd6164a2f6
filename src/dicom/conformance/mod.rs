//! The conformance statement (PS3.2): its text from `statement.md`, its tables from the constants and
//! functions that decide. A `{name}` in the text is replaced by the part of that name.

mod tables;

use dicom_dictionary_std::uids;

use crate::dicom::ask::find;
use crate::dicom::commitment::transaction;
use crate::dicom::file::transcode;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::names::{sop_class, uid_name};
use crate::dicom::wire::association::{APPLICATION_CONTEXT, PDU_BYTES_MAX, PDU_BYTES_SENT_MAX};
use crate::dicom::{verify, web};
use crate::dicom_file::part10::{IMPLEMENTATION_VERSION, implementation_class_uid};
use crate::yaml::{duration, shown_size};

const PROSE: &str = include_str!("statement.md");

/// The statement, as Markdown.
pub fn conformance() -> String {
    parts().into_iter().fold(PROSE.to_owned(), |text, (name, part)| text.replace(&place(name), &part))
}

fn place(name: &str) -> String {
    format!("{{{name}}}")
}

fn parts() -> Vec<(&'static str, String)> {
    [constants(), peers(), table_parts()].concat()
}

fn constants() -> Vec<(&'static str, String)> {
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("application_context", APPLICATION_CONTEXT.to_owned()),
        ("implementation_class_uid", implementation_class_uid()),
        ("implementation_version_name", IMPLEMENTATION_VERSION.to_owned()),
        ("verification", uids::VERIFICATION.to_owned()),
        ("commitment", transaction::CLASS.to_owned()),
        ("find", find::FIND.to_owned()),
        ("move", find::MOVE.to_owned()),
        ("get", find::GET.to_owned()),
        ("storage_count", sop_class::storage().count().to_string()),
        ("usual_count", sop_class::USUAL.len().to_string()),
        ("storage_root", sop_class::OF_STORAGE.to_owned()),
        ("standard_root", sop_class::OF_THE_STANDARD.to_owned()),
        ("uncompressed", tables::named(&find::UNCOMPRESSED)),
        ("fetched", tables::named(&find::COMPRESSED)),
        ("converted_syntaxes", tables::named(&transcode::TARGETS)),
        ("matches_max", find::MATCHES_MAX.to_string()),
        ("capture", uid_name::of(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)),
        ("segmentation", uid_name::of(uids::SEGMENTATION_STORAGE)),
        ("page", uid_name::of(uids::ENCAPSULATED_PDF_STORAGE)),
        ("report", uid_name::of(uids::COMPREHENSIVE_SR_STORAGE)),
        ("error_report", uid_name::of(uids::BASIC_TEXT_SR_STORAGE)),
    ]
}

/// Defaults for the nodes and services that flow calls.
fn peers() -> Vec<(&'static str, String)> {
    let node: DimseNode = "PEER@localhost:104".parse().expect("it has the form of one");
    let service: web::WebNode = "http://localhost".parse().expect("it has the form of one");
    vec![
        ("sent_pdu", shown_size(PDU_BYTES_SENT_MAX.into())),
        ("own_pdu", shown_size(PDU_BYTES_MAX.into())),
        ("wait", duration::shown(node.wait_max)),
        ("commitment_time", duration::shown(verify::COMMITMENT_TIME)),
        ("batch_instances", service.batch_instances_max.to_string()),
        ("batch_bytes", shown_size(service.batch_bytes_max)),
        ("web_connections", web::CONNECTIONS_MAX.to_string()),
        ("web_requests", web::REQUESTS_MAX.to_string()),
        ("web_parts", web::PARTS_MAX.to_string()),
    ]
}

fn table_parts() -> Vec<(&'static str, String)> {
    vec![
        ("limits", tables::limits()),
        ("given_statuses", tables::given_statuses()),
        ("taken_statuses", tables::taken_statuses()),
        ("commitment_reasons", tables::commitment_reasons()),
        ("query_keys", tables::query_keys()),
        ("character_sets", tables::character_sets()),
        ("suites", tables::suites()),
        ("storage_classes", tables::storage_classes()),
        ("accepted_syntaxes", tables::accepted_syntaxes()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_place_and_every_place_its_part() {
        for (name, part) in parts() {
            assert!(PROSE.contains(&place(name)), "there is no place for {name}");
            assert!(!part.is_empty(), "{name} is empty");
        }
        let statement = conformance();
        let unfilled: Vec<&str> = statement.lines().filter(|line| line.contains(['{', '}'])).collect();
        assert!(unfilled.is_empty(), "{unfilled:#?}");
    }
}
