//! Verification that objects are safe at their destination, by storage commitment or by a query.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::time::Duration;

use dicom_dictionary_std::tags;
use dicom_ul::pdu::AssociationRJResult;

use crate::dicom::ask::find::find;
use crate::dicom::ask::query::{DimseQuery, QueryLevel};
use crate::dicom::commitment::request::{OutcomeChannel, commit};
use crate::dicom::commitment::transaction::ObjectReference;
use crate::dicom::file::object::DicomObject;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::names::peer_address::PeerAddress;
use crate::dicom::names::status::DimseStatus;
use crate::dicom::web;
use crate::dicom::wire::peer_error::{ExchangeStage, PeerError, PeerErrorCause};
use crate::imaging::Part10File;

/// The time within which a destination has to report the outcome of a commitment. After that it is asked
/// again.
pub const COMMITMENT_TIME: Duration = Duration::from_secs(60);

/// Objects at a destination, by SOP Instance UID: safe, or the reason why not.
pub type VerifiedObjects = BTreeMap<String, Result<(), String>>;

/// Verifies the objects by storage commitment. `attempt` makes the transaction UIDs of repeated requests
/// differ.
///
/// # Errors
/// If the destination refuses, or does not report in time.
pub fn committed(
    node: &DimseNode,
    objects: &[DicomObject],
    attempt: u64,
    answer: OutcomeChannel,
    time: Duration,
) -> Result<VerifiedObjects, PeerError> {
    let references = objects.iter().map(|object| ObjectReference {
        sop_class_uid: object.sop_class_uid().to_owned(),
        sop_instance_uid: object.sop_instance_uid().to_owned(),
    });
    let outcome = commit(node, &references.collect::<Vec<_>>(), attempt, answer, time)?;
    let safe = outcome.safe.into_iter().map(|one| (one.sop_instance_uid, Ok(())));
    let failed = outcome.failed.into_iter().map(|(one, reason)| {
        (one.sop_instance_uid, Err(format!("the destination does not commit to it (reason {reason:04X})")))
    });
    Ok(safe.chain(failed).collect())
}

/// Verifies the objects by a query (C-FIND, QIDO-RS). For a peer that answers no queries, or none of ours,
/// the objects count as stored: its own responses to them said so. The peer's refusal is then given to
/// `unanswered`.
///
/// # Errors
/// If the peer cannot be reached or cannot answer now, or an object has no study, series or instance UID.
pub fn found(
    peer: &PeerAddress,
    objects: &[DicomObject],
    unanswered: &mut dyn FnMut(&PeerError),
) -> Result<VerifiedObjects, PeerError> {
    let by_series = by_series(objects).map_err(|error| {
        let cause = PeerErrorCause::Unreadable(error.to_string());
        PeerError { peer: peer.clone(), cause, stage: ExchangeStage::Open }
    })?;
    look(by_series, |study, series| match instances(peer, study, series) {
        Ok(instances) => Ok(Some(instances)),
        Err(error) if answers_no_queries(&error) => {
            unanswered(&error);
            Ok(None)
        }
        Err(error) => Err(error),
    })
}

/// SOP Instance UIDs of the instances of a series that the peer has.
fn instances(peer: &PeerAddress, study: &str, series: &str) -> Result<BTreeSet<String>, PeerError> {
    match peer {
        PeerAddress::Dimse(node) => {
            let mut query = DimseQuery::study(study, QueryLevel::Instance);
            query.keys.push((tags::SERIES_INSTANCE_UID, series.to_owned()));
            let found = find(node, &query)?.matches;
            Ok(found.iter().map(|one| one.text(tags::SOP_INSTANCE_UID).to_owned()).collect())
        }
        PeerAddress::Web(node) => {
            let query = web::WebQuery {
                level: web::WebLevel::Instances,
                study_instance_uid: Some(study.to_owned()),
                series_instance_uid: Some(series.to_owned()),
                ..web::WebQuery::default()
            };
            let found = web::find(node, &query, INSTANCES_MAX)?;
            Ok(found.iter().map(|one| one.text(SOP_INSTANCE_UID)).collect())
        }
    }
}

/// The remedy for an archive that does not answer our queries. Many abort or reject associations from a title
/// that they do not know.
pub const QUERY_HINT: &str = "let the archive know our AE title (--ae-title, FLOW if there is none) and allow it to query; \
                              Orthanc needs an entry among its DicomModalities, or DicomAlwaysAllowFind";

/// Whether a peer never answers our queries. Some abort the association instead of rejecting it.
pub fn answers_no_queries(error: &PeerError) -> bool {
    match &error.cause {
        PeerErrorCause::NothingTaken => true,
        PeerErrorCause::Rejected(rejection) => rejection.result == AssociationRJResult::Permanent,
        PeerErrorCause::Answered(status, _) => matches!(
            *status,
            DimseStatus::SOP_CLASS_NOT_SUPPORTED
                | DimseStatus::UNRECOGNISED_OPERATION
                | DimseStatus::DATA_SET_MISMATCH
        ),
        // Orthanc in its default configuration aborts when it receives a query.
        PeerErrorCause::Aborted => true,
        PeerErrorCause::Refused { status, .. } => matches!(status, 404 | 405 | 501),
        _ => false,
    }
}

const INSTANCES_MAX: usize = 100_000;

/// As tags are written in DICOM JSON.
const SOP_INSTANCE_UID: &str = "00080018";

/// The study and series that objects belong to.
type ObjectsBySeries<'a> = BTreeMap<(String, String), Vec<&'a DicomObject>>;

/// Looks up the objects series by series. `ask` gives the instances of a series that the destination has, or
/// `None` if it cannot be queried: then the objects of that series, and no others, are assumed to be stored.
fn look<E>(
    by_series: ObjectsBySeries,
    mut ask: impl FnMut(&str, &str) -> Result<Option<BTreeSet<String>>, E>,
) -> Result<VerifiedObjects, E> {
    let mut found = VerifiedObjects::new();
    for ((study, series), objects) in by_series {
        let there = ask(&study, &series)?;
        let missing = || Err("the destination said that it is stored, and does not have it".to_owned());
        for object in objects {
            let uid = object.sop_instance_uid();
            let is_there = there.as_ref().is_none_or(|there| there.contains(uid));
            found.insert(uid.to_owned(), if is_there { Ok(()) } else { missing() });
        }
    }
    Ok(found)
}

fn by_series(objects: &[DicomObject]) -> io::Result<ObjectsBySeries<'_>> {
    let mut by_series = ObjectsBySeries::new();
    for object in objects {
        by_series.entry(series_of(object)?).or_default().push(object);
    }
    Ok(by_series)
}

/// The bytes at the beginning of a file that nearly always include the UIDs. If long sequences come before
/// them, more is read.
const BEGINNING_BYTES: u64 = 64 << 10;

const BEGINNING_BYTES_MAX: u64 = 32 << 20;

fn series_of(object: &DicomObject) -> io::Result<(String, String)> {
    let mut bytes = BEGINNING_BYTES;
    loop {
        let mut beginning = Vec::new();
        let read = object.file()?.take(bytes).read_to_end(&mut beginning)? as u64;
        let uid = |tag| {
            Part10File::open_header(&beginning).map(|file| file.elements().text(tag)).unwrap_or_default()
        };
        let uids = [tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID].map(uid);
        if let [study, series] = uids
            && !study.is_empty()
            && !series.is_empty()
        {
            return Ok((study, series));
        }
        if read < bytes || bytes >= BEGINNING_BYTES_MAX {
            let what = format!("{} does not say which study and series it belongs to", object.name());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        bytes *= 8;
    }
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::{AssociationRJ, AssociationRJServiceUserReason, AssociationRJSource};

    use super::*;
    use crate::dicom_file::part10::FileHead;

    fn error(cause: PeerErrorCause, stage: ExchangeStage) -> PeerError {
        PeerError { peer: "PACS@127.0.0.1:1".parse().unwrap(), cause, stage }
    }

    fn rejected(result: AssociationRJResult) -> PeerErrorCause {
        let source = AssociationRJSource::ServiceUser(AssociationRJServiceUserReason::NoReasonGiven);
        PeerErrorCause::Rejected(AssociationRJ { result, source })
    }

    fn answered(status: u16) -> PeerErrorCause {
        PeerErrorCause::Answered(DimseStatus(status), String::new())
    }

    #[test]
    fn who_cannot_answer_now_is_asked_again_and_not_believed() {
        for passing in [
            answered(0xA700),
            answered(0xC001),
            answered(0x0110),
            rejected(AssociationRJResult::Transient),
            PeerErrorCause::Silent,
        ] {
            let error = error(passing, ExchangeStage::Open);
            assert!(!answers_no_queries(&error), "{error}");
        }
        for lasting in [
            PeerErrorCause::NothingTaken,
            answered(0x0122),
            answered(0x0211),
            answered(0xA900),
            rejected(AssociationRJResult::Permanent),
            PeerErrorCause::Aborted,
        ] {
            let error = error(lasting, ExchangeStage::Opening);
            assert!(answers_no_queries(&error), "{error}");
        }
    }

    /// An object with a sequence of so many bytes before its study.
    fn object(study: &str, series: &str, before_bytes: usize) -> DicomObject {
        let head = FileHead {
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
            sop_instance_uid: format!("{study}.{series}.1"),
            transfer_syntax_uid: "1.2.840.10008.1.2".to_owned(),
        };
        let mut file = head.encode();
        let mut put = |group: u16, element: u16, value: &[u8]| {
            file.extend(group.to_le_bytes());
            file.extend(element.to_le_bytes());
            file.extend((value.len() as u32).to_le_bytes());
            file.extend(value);
        };
        put(0x0008, 0x1140, &vec![0; before_bytes]);
        put(0x0020, 0x000D, study.as_bytes());
        put(0x0020, 0x000E, series.as_bytes());
        put(0x0020, 0x4000, &[b' '; 100]);
        DicomObject::read("object", file.into()).unwrap()
    }

    #[test]
    fn a_series_is_read_however_far_behind_or_told_to_be_unknown() {
        for before_bytes in [0, 60 << 10, 64 << 10, 600 << 10, 5 << 20] {
            let uids = series_of(&object("1.20", "1.30", before_bytes)).unwrap();
            assert_eq!(uids, ("1.20".to_owned(), "1.30".to_owned()), "{before_bytes}");
        }
        for (study, series) in [("", "1.30"), ("1.20", "")] {
            let error = series_of(&object(study, series, 0)).unwrap_err();
            assert!(error.to_string().contains("study and series"), "{error}");
        }
        assert!(series_of(&object("1.20", "1.30", 33 << 20)).is_err(), "there is an end to it");
    }

    #[test]
    fn what_was_asked_is_not_overruled_by_what_cannot_be() {
        let objects = [object("1.20", "1.30", 0), object("1.20", "1.40", 0)];
        let found = look(by_series(&objects).unwrap(), |_, series| {
            Ok::<_, PeerError>((series == "1.30").then(BTreeSet::new))
        });
        let safe: Vec<bool> = found.unwrap().into_values().map(|safe| safe.is_ok()).collect();
        assert_eq!(safe, [false, true]);
    }
}
