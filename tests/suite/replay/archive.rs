//! Archives written, read back, and forged.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use flow::dataflow::{Response, ResponseVerdict};
use flow::replay::{
    DataflowText, PackError, RecordingForm, RecordingOutput, RecordingRun, RequestRecording, UnpackError,
    UnpackedArchive, pack, unpack,
};
use flow::step::{Artifact, Digest, Fault, Item, ItemPlace, Outcome, Request};

const ITEM: &[u8] = b"the item";
const REPORT: &[u8] = b"the report";
const PICTURE: &[u8] = b"the picture";
const VALUE: &[u8] = b"the value";

fn artifact(name: &str, bytes: &[u8]) -> Artifact {
    let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
    Artifact { name: name.to_owned(), media_type: "text/plain".to_owned(), digest, size }
}

/// With bytes of every sort, and a path of this machine.
fn recording() -> RequestRecording {
    let digest = Digest::of(ITEM);
    let (name, path, size) = ("../a/b".to_owned(), PathBuf::from("/home/x"), ITEM.len() as u64);
    let request = Request::new("r", BTreeMap::new(), vec![item(name, path, digest, size)]);
    let output =
        |name: &str, kept| RecordingOutput { name: name.to_owned(), digest: Digest::of(b"of a value"), kept };
    let outputs = vec![
        output("volume", RecordingForm::No),
        output("value", RecordingForm::Form { digest: Digest::of(VALUE), size: VALUE.len() as u64 }),
        output(
            "files",
            RecordingForm::Files(vec![artifact("a.txt", REPORT), artifact(&"b".repeat(150), PICTURE)]),
        ),
    ];
    let run = |step: &str, item, outcome, outputs| {
        let (key, inputs) = (Digest::of(step.as_bytes()), BTreeMap::from([("in".to_owned(), digest)]));
        let (step, place) = (step.to_owned(), None);
        RecordingRun {
            step,
            item,
            key,
            version: 1,
            inputs,
            outcome,
            took_us: 7,
            place,
            batches: Vec::new(),
            logs: Vec::new(),
            outputs,
        }
    };
    let runs = vec![
        run("write", None, Outcome::Done, outputs),
        run("read", Some(0), Outcome::Failed(Fault::new("is empty", "Fill it.")), Vec::new()),
    ];
    let response = Response {
        request: request.id,
        name: request.name.clone(),
        dataflow: "d".into(),
        version: Digest::of(b"d"),
        verdict: ResponseVerdict::Failed,
        steps: Vec::new(),
        reservations: Vec::new(),
        streams: Vec::new(),
        files: vec![artifact("sub/a.txt", REPORT), artifact(&format!("sub/{}", "b".repeat(150)), PICTURE)],
        supersedes: None,
        revises: None,
    };
    let dataflow =
        DataflowText { name: "d".to_owned(), version: Digest::of(b"d"), text: "dataflow: d".to_owned() };
    RequestRecording { flow: "0.1.0".to_owned(), request, dataflow, runs, response: Some(response) }
}

fn item(name: String, path: PathBuf, digest: Digest, size: u64) -> Item {
    Item { name, place: ItemPlace::File(path), digest, size, decoded: 100 }
}

fn bytes_of(digest: Digest) -> io::Result<&'static [u8]> {
    let known = [ITEM, REPORT, PICTURE, VALUE].into_iter().find(|bytes| Digest::of(bytes) == digest);
    known.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn packed() -> Vec<u8> {
    let mut archive = Vec::new();
    pack(&recording(), bytes_of, &mut archive).unwrap();
    archive
}

fn unpacked(archive: &[u8]) -> (Result<UnpackedArchive, UnpackError>, TempDir) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let result = unpack(archive, &folder, 1 << 20);
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "nothing is written beside the folder");
    (result, outer)
}

#[test]
fn written_and_read() {
    let (unpacked, folder) = unpacked(&packed());
    let unpacked = unpacked.unwrap();
    let mut expected = recording();
    let path = folder.path().join("folder/items").join(Digest::of(ITEM).to_string());
    expected.request.items[0].place = ItemPlace::File(path);
    let (recording, paths) = unpacked.into_parts();
    assert_eq!(recording, expected);
    for bytes in [ITEM, REPORT, PICTURE, VALUE] {
        assert_eq!(fs::read(&paths[&Digest::of(bytes)]).unwrap(), bytes);
    }
    assert_eq!(fs::read(folder.path().join("folder/response/sub/a.txt")).unwrap(), REPORT);
}

#[test]
fn the_same_recording_gives_the_same_bytes_and_no_path_of_the_machine() {
    let mut elsewhere = recording();
    elsewhere.request.items[0].place = ItemPlace::File(PathBuf::from("/elsewhere"));
    let mut archive = Vec::new();
    pack(&elsewhere, bytes_of, &mut archive).unwrap();
    assert!(archive == packed());
}

#[test]
fn bytes_that_are_missing_or_changed_are_not_packed() {
    let with = |item: io::Result<&'static [u8]>| {
        let mut item = Some(item);
        let open = |digest| {
            if digest == Digest::of(ITEM) { item.take().expect("asked for once") } else { bytes_of(digest) }
        };
        pack(&recording(), open, io::sink())
    };
    assert!(with(Ok(ITEM)).is_ok());
    assert!(matches!(with(Err(io::ErrorKind::NotFound.into())), Err(PackError::Read { .. })));
    for changed in [b"the itex".as_slice(), b"the i", b""] {
        assert!(matches!(with(Ok(changed)), Err(PackError::Changed { .. })), "{changed:?}");
    }
}

/// A file in an archive, or what pretends to be one.
#[derive(Clone)]
struct Forged {
    path: String,
    kind: EntryType,
    bytes: Vec<u8>,
}

/// What is in a sound archive.
fn sound() -> Vec<Forged> {
    let archive = packed();
    let mut archive = tar::Archive::new(archive.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let (path, kind) = (entry.path().unwrap().to_str().unwrap().to_owned(), entry.header().entry_type());
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        Forged { path, kind, bytes }
    });
    entries.collect()
}

fn written(entries: &[Forged]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for Forged { path, kind, bytes } in entries {
        let mut header = Header::new_gnu();
        // As `set_path` would refuse to.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_link_name("/etc/passwd").unwrap();
        header.set_cksum();
        archive.append(&header, bytes.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Forges a sound archive; it must be refused in these words.
fn refused(expected: &str, forge: impl FnOnce(&mut Vec<Forged>)) {
    let mut entries = sound();
    forge(&mut entries);
    let (result, _folder) = unpacked(&written(&entries));
    let error = result.map(drop).unwrap_err().to_string();
    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
}

/// Replaces a text in the manifest.
fn told(entries: &mut [Forged], text: &str, other: &str) {
    let manifest = String::from_utf8(entries[0].bytes.clone()).unwrap();
    assert!(manifest.contains(text), "{manifest}");
    entries[0].bytes = manifest.replace(text, other).into_bytes();
}

fn extra(path: &str, kind: EntryType) -> Forged {
    Forged { path: path.to_owned(), kind, bytes: b"x".to_vec() }
}

#[test]
fn forged_archives_are_refused() {
    assert!(unpacked(&written(&sound())).0.is_ok());
    refused("does not begin with manifest.json", |entries| entries.swap(0, 1));
    refused("is empty", Vec::clear);
    for path in ["../x", "/tmp/x", "x", "items/../../x", "items"] {
        refused("is not in the manifest", |entries| entries.push(extra(path, EntryType::Regular)));
    }
    use EntryType::{Char, Directory, GNULongName, Link, Symlink, XGlobalHeader};
    for kind in [Symlink, Link, Char, Directory, GNULongName, XGlobalHeader] {
        refused("is not in the manifest", |entries| entries.push(extra("y", kind)));
        refused("is not in the manifest", |entries| entries[1].kind = kind);
    }
    refused("is not in the manifest", |entries| entries.push(entries[1].clone()));
    refused("is missing", |entries| drop(entries.pop()));
    refused("is damaged", |entries| entries[1].bytes[0] ^= 1);
    refused("is damaged", |entries| entries[2].bytes.push(0));
}

#[test]
fn forged_manifests_are_refused() {
    refused("format 2", |entries| told(entries, "\"format\": 1", "\"format\": 2"));
    refused("could not read the manifest", |entries| told(entries, "\"recording\"", "\"recorded\""));
    refused("is not a valid file name", |entries| told(entries, "sub/a.txt", "../../a.txt"));
    refused("is not a valid file name", |entries| told(entries, "sub/a.txt", "/a.txt"));
    refused("bytes exceed the limit of 1048576", |entries| {
        told(entries, "\"size\": 10", "\"size\": 1048577")
    });
    refused("bytes exceed the limit of 1048576", |entries| {
        told(entries, "\"size\": 10", "\"size\": 18446744073709551615");
    });
}

#[test]
fn an_archive_that_is_cut_anywhere_is_refused() {
    let archive = packed();
    // Two empty blocks end an archive; without them it is still whole.
    for length in (0..archive.len() - 1024).step_by(100) {
        assert!(unpacked(&archive[..length]).0.is_err(), "cut at {length} of {}", archive.len());
    }
}

#[test]
fn other_tools_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("r.tar");
    fs::write(&archive, packed()).unwrap();
    let listed = std::process::Command::new("tar").arg("-tf").arg(&archive).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().next(), Some("manifest.json"));
    assert!(listed.lines().any(|line| line == "response/sub/a.txt"), "{listed}");
}
