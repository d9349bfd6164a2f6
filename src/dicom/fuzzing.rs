//! Entry points for the targets in `fuzz`: each treats its bytes as those of a peer are treated.
//!
//! A panic, a hang and too much memory are finds. They stay as files in `tests/fuzzed`, and the test below
//! goes through them. Each function gives whether the bytes were good: seeds have to be, or they lead nowhere.

use std::convert::identity;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dicom_dictionary_std::uids;
use hyper::body::Bytes;

use crate::dicom::ask::query::QueryMatch;
use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::commitment::transaction::{CommitmentOutcome, CommitmentTransaction, event_report};
use crate::dicom::file::contents::contents;
use crate::dicom::file::deidentify::{PseudonymKey, deidentify};
use crate::dicom::file::object::DicomObject;
use crate::dicom::file::transcode::{TARGETS, TranscodableObject, plain_pixels};
use crate::dicom::intake::event::{AssociationEnd, ReceiverEvent, SessionKind};
use crate::dicom::intake::expected::ExpectedSeries;
use crate::dicom::intake::instance_intake::InstanceIntake;
use crate::dicom::names::ae_title::AeTitle;
use crate::dicom::names::status::DimseStatus;
use crate::dicom::serve::server::StorageServer;
use crate::dicom::serve::session::hold;
use crate::dicom::serve::settings::ReceiveSettings;
use crate::dicom::web::multipart::{MultipartError, MultipartPiece, MultipartReader, PartHead};
use crate::dicom::web::{BodyChunk, BodyForm, BodyIntake, MediaType};
use crate::dicom::wire::association::DicomStream;
use crate::dicom::wire::caller::CalledTitles;
use crate::dicom::wire::command::CommandSet;
use crate::dicom_file::part10;
use crate::imaging::{self, Part10File, read_instance};

/// Bytes that a peer sends on an association, from the first byte on.
pub fn association(folder: &Path, said: &[u8]) -> bool {
    let calm = AtomicU64::new(0);
    let tell = |event: &ReceiverEvent| match event {
        ReceiverEvent::Closed { end: AssociationEnd::Released, .. } => calm.store(1, Ordering::Relaxed),
        ReceiverEvent::Closed { reason, .. } | ReceiverEvent::Rejected { reason, .. } => not_ours(reason),
        _ => {}
    };
    let settings = settings(folder);
    let intake = InstanceIntake::open(settings.intake(), &tell).expect("the folder can be written");
    let commitments = CommitmentService::open(folder, settings.nodes.clone(), Arc::default());
    let commitments = commitments.expect("the folder can be written");
    let server = StorageServer { settings: &settings, intake, commitments };
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let stream = DicomStream::Recorded(std::io::Cursor::new(said.to_vec()));
    hold(&server, server.intake.session(SessionKind::Association), peer, &Arc::default(), || Ok(stream));
    calm.into_inner() == 1
}

/// Fails on a caught panic, which the receiver only reports.
fn not_ours(reason: &str) {
    assert!(!reason.contains("a bug in flow"), "{reason}");
}

fn settings(folder: &Path) -> ReceiveSettings {
    let title: AeTitle = "FLOW".parse().expect("it is an AE title");
    let node = "KNOWN@127.0.0.1:1".parse().expect("it is a destination");
    let mut settings = ReceiveSettings::new(title, folder.to_owned());
    settings.called = CalledTitles::Any;
    settings.nodes.insert("KNOWN".to_owned(), node);
    settings.completion.expected = Some(expected());
    settings
}

fn expected() -> ExpectedSeries {
    "'Chest*' and (Modality = 'CT' or PatientName = '*?e*')".parse().expect("it is a rule")
}

/// A command set.
pub fn command(bytes: &[u8]) -> bool {
    let Ok(command) = CommandSet::decode(bytes) else { return false };
    let again =
        |command: &CommandSet| CommandSet::decode(&command.encode()).expect("what is written can be read");
    assert_eq!(again(&command), command);
    let answer = command.answer(DimseStatus::SUCCESS, &command.comment());
    assert_eq!(again(&answer), answer);
    assert_eq!(answer.status_for(&command), Some(DimseStatus::SUCCESS));
    true
}

/// Bytes after the `DICM` prefix of a file: file meta group and data set.
pub fn data_set(bytes: &[u8]) -> bool {
    let file = file(bytes);
    let read = [
        read_instance("", Path::new(""), &file).is_ok(),
        contents(&file).is_ok(),
        deidentified(&file),
        transcoded(&file),
    ];
    expected().marks(&file);
    if let Some((_, place)) = part10::FileHead::decode(&file) {
        TARGETS.iter().for_each(|syntax| services(&file[place.clone()], syntax));
    }
    read.into_iter().all(identity)
}

fn file(bytes: &[u8]) -> Vec<u8> {
    [&[0; 128], b"DICM".as_slice(), bytes].concat()
}

fn deidentified(file: &[u8]) -> bool {
    deidentify(file, &PseudonymKey::new([7; 32])).is_ok_and(|clean| {
        Part10File::open(&clean.bytes).expect("what is written begins as a file").elements();
        true
    })
}

fn transcoded(file: &[u8]) -> bool {
    let Ok(object) = DicomObject::read("", file.into()) else { return false };
    let Ok(transcoding) = TranscodableObject::prepare(&object, None) else { return false };
    TARGETS.iter().all(|syntax| transcoding.write(syntax, &mut std::io::sink()).is_ok())
}

/// The data set of a storage commitment, either way, or of an answer to a query.
fn services(bytes: &[u8], syntax: &str) {
    if let Some(asked) = CommitmentTransaction::decode(bytes, syntax) {
        let outcome = CommitmentOutcome { safe: asked.references.clone(), failed: Vec::new() };
        event_report(&asked.uid, &outcome, syntax);
    }
    CommitmentOutcome::decode(bytes, syntax);
    let query = "PatientName=A*".parse().expect("it is a query");
    QueryMatch::read(bytes, syntax, &query).told();
}

/// As [`data_set`], with pixels that are not JPEG 2000.
pub fn pixels(bytes: &[u8]) -> bool {
    let file = file(bytes);
    !is_jpeg_2000(&file) && decoded(&file)
}

/// As [`pixels`], JPEG 2000 and HTJ2K only: others decode them, whose panics are caught.
pub fn jpeg_2000(bytes: &[u8]) -> bool {
    let file = file(bytes);
    is_jpeg_2000(&file) && decoded(&file)
}

fn is_jpeg_2000(file: &[u8]) -> bool {
    const JPEG_2000: [&str; 7] = [
        uids::JPEG2000_LOSSLESS,
        uids::JPEG2000,
        uids::JPEG2000MC_LOSSLESS,
        uids::JPEG2000MC,
        uids::HTJ2K_LOSSLESS,
        uids::HTJ2K_LOSSLESS_RPCL,
        uids::HTJ2K,
    ];
    let file = Part10File::open(file).expect("it has the mark of one");
    JPEG_2000.contains(&file.transfer_syntax_uid.as_str())
}

fn decoded(file: &[u8]) -> bool {
    let Ok(pixels) = imaging::decoded(file) else { return false };
    for number in 0..pixels.frames {
        pixels.frame(number);
    }
    if let Ok(object) = DicomObject::read("", file.into())
        && let Ok(transcoding) = TranscodableObject::prepare(&object, Some(plain_pixels))
    {
        let written = |syntax: &&str| transcoding.write(syntax, &mut std::io::sink()).is_ok();
        assert!(TARGETS.iter().all(written), "it was tried before");
    }
    true
}

/// A media type, a line end, and a body of that type: however it is cut, it has the same parts.
pub fn multipart(bytes: &[u8]) -> bool {
    let Some((multipart, body)) = body(bytes) else { return false };
    let whole = parts(multipart, body, &[body.len()]);
    let sizes: Vec<usize> = body.iter().take(7).map(|byte| usize::from(*byte % 16) + 1).collect();
    for sizes in [&sizes[..], &[1], &[2]] {
        let (multipart, body) = self::body(bytes).expect("it was one before");
        assert_eq!(parts(multipart, body, sizes), whole, "cut into {sizes:?}");
    }
    whole.1.is_ok()
}

fn body(bytes: &[u8]) -> Option<(MultipartReader, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let media_type = MediaType::read(std::str::from_utf8(&bytes[..end]).ok()?)?;
    Some((MultipartReader::of(&media_type).ok()?, &bytes[end + 1..]))
}

type MultipartParts = Vec<(PartHead, Vec<u8>, AssociationEnd)>;

/// The parts that come out, and how it ended, with chunks of these sizes in turn.
fn parts(
    mut multipart: MultipartReader,
    mut body: &[u8],
    sizes: &[usize],
) -> (MultipartParts, Result<(), MultipartError>) {
    let mut parts = MultipartParts::new();
    let mut take = |piece: MultipartPiece| match (piece, parts.last_mut()) {
        (MultipartPiece::Head(head), _) => parts.push((head, Vec::new(), AssociationEnd::Aborted)),
        (MultipartPiece::Bytes(bytes), part) => part.expect("a part has begun").1.extend_from_slice(bytes),
        (MultipartPiece::End, part) => part.expect("a part has begun").2 = AssociationEnd::Released,
    };
    let mut sizes = sizes.iter().cycle();
    let mut end = Ok(());
    while let (Ok(()), Some(size)) = (end, sizes.next().filter(|_| !body.is_empty())) {
        let (chunk, rest) = body.split_at((*size).min(body.len()));
        end = multipart.push(chunk, &mut take);
        body = rest;
    }
    let end = end.and_then(|()| multipart.end());
    (parts, end)
}

/// As [`multipart`], with the parts taken in as by STOW-RS.
pub fn stow(folder: &Path, bytes: &[u8]) -> bool {
    let Some((multipart, body)) = body(bytes) else { return false };
    let tell = |event: &ReceiverEvent| {
        if let ReceiverEvent::Closed { reason, .. } = event {
            not_ours(reason);
        }
    };
    let settings = settings(folder);
    let intake = InstanceIntake::open(settings.intake(), &tell).expect("the folder can be written");
    let mut chunks = body.chunks(1000).map(Bytes::copy_from_slice);
    let next = || chunks.next().map_or(BodyChunk::End, BodyChunk::Bytes);
    let taking = BodyIntake::new(&intake, intake.session(SessionKind::Web), None, 100);
    let taken = taking.take(BodyForm::Parts(Box::new(multipart)), next);
    taken.response.write();
    taken.end.is_ok() && !taken.response.stored.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::{check, check_in_folder};

    #[test]
    fn associations_do_no_harm() {
        check_in_folder("pdu", association);
    }

    #[test]
    fn commands_do_no_harm() {
        check("command", command);
    }

    #[test]
    fn data_sets_do_no_harm() {
        check("data_set", data_set);
    }

    #[test]
    fn pixels_do_no_harm() {
        check("pixels", pixels);
        check("jpeg_2000", jpeg_2000);
    }

    #[test]
    fn bodies_do_no_harm() {
        check("multipart", multipart);
        check_in_folder("stow", stow);
    }
}
