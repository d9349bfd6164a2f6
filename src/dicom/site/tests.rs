//! A site's file is read as it is meant, and everything that is wrong with it is told.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::dicom::{CompletionSignal, WaitLimitAction};
use crate::site::{AuditProtocol, Site};
use crate::yaml::{Problem, Problems};

fn parse(text: &str) -> Result<Site, Problems> {
    Site::parse("site.yaml", text, Path::new("/etc/flow"), &[&DicomSection])
}

fn dicom(site: &Site) -> &DicomSite {
    site.section().unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err("something is wrong");
    let told = |one: &Problem| match &one.hint {
        Some(hint) => format!("{}:{} {} ({hint})", one.line, one.column, one.message),
        None => format!("{}:{} {}", one.line, one.column, one.message),
    };
    problems.iter().map(told).collect()
}

#[test]
fn a_whole_site_is_read() {
    let site = parse(
        "
ae_title: FLOW1
tls: {certificate: flow.crt, key: /keys/flow.key, authorities: ca.crt}
dicom:
  listen: 0.0.0.0:11112
  tls: mutual
  callers: [CT1@10.1.2.0/24, '*@10.1.1.5']
  any_called_title: true
  associations: 32
  idle_time: 2 min
  pdu: 64 KiB
web: {listen: '127.0.0.1:8080', callers: ['*@127.0.0.1']}
watch: {folder: drop, settle_time: 10 s}
complete:
  at_once: [released, next_study]
  quiet_time: 10 s
  expected: \"'A' and Modality = 'CT'\"
  count: PACS
  cap: {after: 1 h, then: wait}
nodes:
  PACS: {address: 'PACS@10.1.1.5:104', tls: true, wait: 1 min}
  OTHER: OTHER@10.1.1.6:104
to: [PACS, sender]
audit: {server: 'tls://audit:6514', spool: 64 MiB}
",
    )
    .unwrap();
    let read = dicom(&site);
    assert_eq!(read.ae_title.as_ref().unwrap().as_str(), "FLOW1");
    let listener = read.dicom.as_ref().unwrap();
    assert_eq!(
        (listener.security, listener.callers.len(), listener.associations_max),
        (ListenerSecurity::Mutual, 2, Some(32))
    );
    assert_eq!((listener.pdu_bytes_max, listener.any_called_title), (Some(64 << 10), true));
    let watched = read.watch.as_ref().unwrap();
    assert_eq!(watched.folder, Path::new("/etc/flow/drop"));
    assert_eq!(watched.settle_time, Duration::from_secs(10));
    assert_eq!(read.completion.at_once, [CompletionSignal::Released, CompletionSignal::NextStudy].into());
    assert_eq!(read.completion.cap.as_ref().unwrap().then, WaitLimitAction::Wait);
    assert_eq!(
        (read.count.as_deref(), site.to.clone()),
        (Some("PACS"), vec!["PACS".to_owned(), "sender".to_owned()])
    );
    assert_eq!(read.nodes["PACS"].wait_max, Some(Duration::from_secs(60)));
    assert_eq!(site.identity.as_ref().unwrap().certificate, Path::new("/etc/flow/flow.crt"));
    assert_eq!(site.audit.as_ref().unwrap().transport, AuditProtocol::Tls);
}

#[test]
fn all_that_is_wrong_is_told_with_its_place() {
    let text = "
dicom: {listen: 11112, tls: mutal}
nods: {}
complete: {quiet_time: V, count: PAX, expected: A, cap: {after: 1 h}}
nodes:
  PACS: PACS
to: [PACS, sendr]
tls: {key: k}
";
    let expected = [
        "2:17 \"listen\" of \"dicom\" is an address and a port, not \"11112\"",
        "2:29 \"dicom\" does not know \"mutal\" (did you mean \"mutual\"?)",
        "3:1 the site has no key \"nods\" (did you mean \"nodes\"?)",
        "4:24 \"quiet_time\" of \"complete\" is a time, not \"V\"",
        "4:34 there is no node \"PAX\"",
        "6:9 \"PACS\" is not of the form",
        "7:12 there is no node \"sendr\" (did you mean \"sender\"?)",
        "8:6 \"tls\": a certificate and a key belong together",
    ];
    let problems = problems(text);
    for wanted in expected {
        assert!(problems.iter().any(|problem| problem.starts_with(wanted)), "{wanted}\n{problems:#?}");
    }
}

#[test]
fn what_is_encrypted_needs_a_certificate() {
    let told = problems("dicom: {listen: '127.0.0.1:1', tls: mutual}");
    assert_eq!(told.len(), 2, "{told:?}");
    let told = problems("nodes: {A: {address: 'A@b:1', tls: true}}");
    assert!(told[0].contains("no certificate authority is named"), "{told:?}");
}

#[test]
fn two_nodes_of_one_title_are_told() {
    let told = problems("nodes: {A: 'PACS@10.0.0.1:104', B: 'PACS@10.0.0.2:104'}");
    assert!(told[0].contains("the nodes \"A\" and \"B\" are both called PACS"), "{told:?}");
}

#[test]
fn an_empty_file_lacks_nothing() {
    assert!(dicom(&parse("ae_title: A").unwrap()).nodes.is_empty());
}
