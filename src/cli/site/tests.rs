//! The sites that examples and pages show, with the sections that flow has.

use std::path::Path;
use std::time::Duration;

use crate::dicom::site::{DicomSite, ListenerSecurity, NodeRetry};
use crate::files::{FilesSite, OutputSetting};
use crate::site::{Site, built_in_sections, keys};

#[test]
fn the_example_is_sound_and_has_every_part() {
    let site = Site::load(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/site.yaml")),
        &built_in_sections(),
    )
    .unwrap();
    let read: &DicomSite = site.section().unwrap();
    let [dicom, web] = [&read.dicom, &read.web].map(|listener| listener.as_ref().unwrap());
    assert_eq!((dicom.callers.len(), dicom.security), (3, ListenerSecurity::Mutual));
    assert!(dicom.contexts_max.is_some() && dicom.pdu_bytes_max.is_some());
    for listener in [dicom, web] {
        assert!(listener.associations_max.is_some() && listener.instance_bytes_max.is_some());
        assert!(listener.idle_time_max.is_some());
    }
    let general = &site.general;
    assert!(general.state.is_some() && general.memory.is_some() && general.keep.bytes.is_some());
    assert!(general.retry.is_some() && general.keep_trying.is_some() && site.rules.is_some());
    let files: &FilesSite = site.section().unwrap();
    assert!(matches!(files.output, Some(OutputSetting::Folder(_))));
    assert!(read.watch.is_some() && site.identity.is_some() && site.authorities.is_some());
    assert!(read.completion.expected.is_some() && read.completion.cap.is_some());
    assert!(site.audit.as_ref().unwrap().spool_bytes_max.is_some());
    assert_eq!((read.count.as_deref(), site.to.len(), site.utc_offset_min), (Some("archive"), 2, 60));
    let archive = &read.nodes["archive"];
    assert_eq!(
        archive.retry,
        Some(NodeRetry { first_delay: MINUTE, factor: 2.0, cap: MINUTE * 15, give_up: MINUTE * 720 })
    );
    assert!(archive.tls && archive.wait_max.is_some() && archive.windows.len() == 2);
    assert!(read.nodes["web-archive"].authorization.is_some());
}

#[test]
fn the_example_names_every_key() {
    let text = include_str!("../../../examples/site.yaml");
    let lacks = |key: &&&str| !text.lines().any(|line| line.starts_with(&format!("{key}:")));
    let keys = keys(&built_in_sections());
    assert_eq!(keys.iter().filter(lacks).collect::<Vec<_>>(), [&"dataflow"], "rules say which");
    assert!(text.contains("# dataflow:"));
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_sites_that_pages_show_are_sound() {
    let mut shown = 0;
    let pages = ["how-to/completeness", "how-to/connect", "how-to/security", "reference/site-file"];
    for page in pages.map(|page| format!("docs/src/{page}.md")) {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&page)).unwrap();
        let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("yaml\n"));
        // A block that begins so is a dataflow.
        let blocks = blocks.filter(|block| !block.starts_with("dataflow:"));
        for block in blocks.filter(|block| {
            keys(&built_in_sections()).iter().any(|key| block.starts_with(&format!("{key}:")))
        }) {
            Site::parse(&page, block, Path::new(""), &built_in_sections())
                .unwrap_or_else(|problems| panic!("{page}: {problems}\n{block}"));
            shown += 1;
        }
    }
    assert!(shown > 4, "only {shown}");
}
