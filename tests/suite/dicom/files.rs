//! The reader of DICOM files beside DCMTK's, on every file of the real studies.

use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

use flow::dicom_file::encoding::{DEFLATED, Encoding, UNDEFINED};
use flow::dicom_file::inflate::inflating;
use flow::dicom_file::part10::FileHead;
use flow::dicom_file::reader::ElementReader;

use crate::support::data::Data;

const ARCHIVES: [&str; 5] =
    ["ct-chest-cip64", "ct-chest-lidc0314", "known-good", "mr-brain-t1-studyforrest", "odd-files"];

/// The tag of an element, as DCMTK writes it, and its length; of undefined ones none.
type Element = (String, Option<u32>);

const PIXEL_DATA: &str = "(7fe0,0010)";

#[test]
fn every_real_file_is_read_as_by_dcmtk() {
    if Command::new("dcmdump").arg("--version").output().is_err() {
        println!("skipped: there is no dcmdump");
        return;
    }
    let mut compared = 0;
    for data in ARCHIVES.into_iter().filter_map(Data::unpack) {
        let files = data.files("");
        for chunk in files.chunks(50) {
            for (path, theirs) in dumped(chunk) {
                let bytes = std::fs::read(&path).expect("the file is there");
                // Without a head that says its transfer syntax, it is no file to send.
                let Some((head, place)) = FileHead::decode(&bytes) else { continue };
                if head.transfer_syntax_uid.is_empty() {
                    continue;
                }
                let ours = top_level(&head.transfer_syntax_uid, &bytes[place]);
                let before_pixels = |(tag, _): &&Element| tag != PIXEL_DATA;
                let theirs: Vec<&Element> = theirs.iter().take_while(before_pixels).collect();
                assert_eq!(ours.iter().collect::<Vec<_>>(), theirs, "{}", path.display());
                compared += 1;
            }
        }
    }
    println!("{compared} files are read as by DCMTK");
}

/// The top-level elements of a data set before its pixels.
fn top_level(transfer_syntax_uid: &str, data_set: &[u8]) -> Vec<Element> {
    let mut inflated = Vec::new();
    let data_set = if transfer_syntax_uid == DEFLATED {
        inflating(data_set, 1 << 30).read_to_end(&mut inflated).expect("it can be inflated");
        &inflated
    } else {
        data_set
    };
    let mut reader = ElementReader::new(data_set, Encoding::of(transfer_syntax_uid));
    let mut elements = Vec::new();
    while let Some(tag) = reader.peek_tag() {
        let tag = format!("({:04x},{:04x})", tag.group(), tag.element());
        if tag == PIXEL_DATA {
            break;
        }
        let length = ElementReader::new(reader.rest(), reader.encoding()).head().map(|head| head.length);
        elements.push((tag, length.filter(|length| *length != UNDEFINED)));
        if reader.element().is_err() {
            break;
        }
    }
    elements
}

/// What DCMTK reads of files, those that are whole to it.
fn dumped(files: &[PathBuf]) -> Vec<(PathBuf, Vec<Element>)> {
    let output = Command::new("dcmdump").args(["-q", "-M", "+F"]).args(files).output().expect("dcmdump runs");
    if !output.status.success() {
        let halves = files.split_at(files.len() / 2);
        return if files.len() == 1 { Vec::new() } else { [dumped(halves.0), dumped(halves.1)].concat() };
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut dumped: Vec<(PathBuf, Vec<Element>)> = Vec::new();
    for line in text.lines() {
        if let Some((_, name)) = line.strip_prefix("# dcmdump (").and_then(|rest| rest.split_once("): ")) {
            dumped.push((name.into(), Vec::new()));
        } else if let (Some((_, elements)), Some(element)) = (dumped.last_mut(), element(line)) {
            elements.push(element);
        }
    }
    dumped.retain(|(_, elements)| !elements.is_empty());
    dumped
}

/// An element of the data set in a line of the dump; nested ones are indented.
fn element(line: &str) -> Option<Element> {
    let tag = line.get(..11).filter(|tag| tag.starts_with('(') && tag.ends_with(')'))?;
    if tag.starts_with("(0002,") || tag.starts_with("(fffe,") {
        return None;
    }
    let (_, behind) = line.rsplit_once("# ")?;
    let length = behind.split(',').next()?.trim().parse().ok();
    Some((tag.to_owned(), length))
}
