//! Studies asked for, one after the other, from a list: for reprocessing.
//!
//! An archive is asked which studies fit (C-FIND), and each is fetched through the front door: on the
//! association that asks for it (C-GET), or by letting the archive send it to our listener (C-MOVE).
//! What fails is tried again, and in the end told; it holds up no other study.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Duration;

use dicom_dictionary_std::tags;

use crate::dicom::ask::find::find;
use crate::dicom::ask::query::{Level, NotAQuery, Query};
use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::intake::completion::Left;
use crate::dicom::intake::door::Door;
use crate::dicom::intake::event::{Event, Way};
use crate::dicom::intake::stop::Stop;
use crate::dicom::intake::visitor::Visitor;
use crate::dicom::names::ae_title::AeTitle;
use crate::dicom::names::destination::Destination;
use crate::dicom::web::{self, AskError};
use crate::dicom::wire::send_error::SendError;

use super::retrieval::{Fetched, get_study, move_study};

/// What to fetch, from where, and how.
#[derive(Clone, Debug)]
pub struct Pull {
    pub from: Archive,
    pub wanted: Vec<Wanted>,
    /// How long to wait before each further try of a study.
    pub waits: Vec<Duration>,
}

/// One line of a list. Read from a Study Instance UID, an accession number, or a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Study(String),
    Query(Query),
}

/// Where studies are fetched.
#[derive(Clone, Debug)]
pub enum Archive {
    /// By C-FIND, and C-GET or C-MOVE.
    Dimse { node: Box<Destination>, way: Retrieval },
    /// By QIDO-RS and WADO-RS.
    Web(Box<web::Node>),
}

/// How a study travels over DIMSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retrieval {
    /// On the association that asks for it.
    Get,
    /// On an association that the archive opens to us; it must know our title and address.
    Move { to: AeTitle },
}

impl FromStr for Wanted {
    type Err = NotAQuery;

    fn from_str(text: &str) -> Result<Wanted, NotAQuery> {
        let text = text.trim();
        let is_uid = text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_uid {
            return Ok(Wanted::Study(text.to_owned()));
        }
        let accession = !text.contains('=') && !text.is_empty();
        let query = if accession { format!("AccessionNumber={text}") } else { text.to_owned() };
        query.parse().map(Wanted::Query)
    }
}

/// Fetches all that is wanted, until the stop.
pub(in crate::dicom) fn pull(door: &Door, commitments: &CommitmentService, pull: &Pull, stop: &Stop) {
    for (index, wanted) in pull.wanted.iter().enumerate() {
        let number = index + 1;
        let studies = match patiently(pull, stop, || studies(&pull.from, wanted)) {
            Ok(studies) => studies,
            Err(trouble) => {
                not_fetched(door, number, &trouble);
                continue;
            }
        };
        if studies.is_empty() {
            let reason = "the archive has no such study".to_owned();
            (door.tell)(&Event::NotFetched { number, reason });
        }
        for study in studies {
            // The archive must not send what would only be refused.
            while !door.studies.have_room() && !stop.wait(LOOK) {}
            if stop.wait(Duration::ZERO) {
                let reason = "receiving ended before".to_owned();
                return (door.tell)(&Event::NotFetched { number, reason });
            }
            match patiently(pull, stop, || guarded(|| fetch(door, commitments, &pull.from, &study, stop))) {
                Ok(instances) => (door.tell)(&Event::Fetched { number, instances }),
                Err(trouble) => not_fetched(door, number, &trouble),
            }
        }
    }
}

/// A panic, for example in a library on damaged input, ends this study's transfer and nothing else.
fn guarded<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let mistake = || Trouble::Error("a mistake in flow, please report it".to_owned());
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(mistake()))
}

const LOOK: Duration = Duration::from_millis(100);

/// Tries again after each of the waits, unless receiving ends.
fn patiently<T>(pull: &Pull, stop: &Stop, attempt: impl Fn() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let mut tried = attempt();
    let mut waits = pull.waits.iter();
    while tried.is_err() && waits.next().is_some_and(|wait| !stop.wait(*wait)) {
        tried = attempt();
    }
    tried
}

fn studies(from: &Archive, wanted: &Wanted) -> Result<Vec<String>, Trouble> {
    let uids: Vec<String> = match (wanted, from) {
        // An archive that does not answer queries may send a study all the same.
        (Wanted::Study(uid), Archive::Dimse { node, .. }) => {
            match find(node, &Query::study(uid, Level::Study)) {
                Ok(found) if found.matches.is_empty() => Vec::new(),
                _ => vec![uid.clone()],
            }
        }
        (Wanted::Study(uid), Archive::Web(_)) => vec![uid.clone()],
        (Wanted::Query(query), Archive::Dimse { node, .. }) => {
            let found = find(node, &Query { level: Level::Study, ..query.clone() })?;
            found.matches.iter().map(|one| one.text(tags::STUDY_INSTANCE_UID).to_owned()).collect()
        }
        (Wanted::Query(query), Archive::Web(node)) => {
            let query = web::Query { matching: query.named(), ..web::Query::default() };
            let found = web::find(node, &query, STUDIES_MAX)?;
            found.iter().map(|one| one.text(STUDY_INSTANCE_UID)).collect()
        }
    };
    // There are archives that tell of a study once for each of its instances.
    let uids: BTreeSet<String> = uids.into_iter().filter(|uid| !uid.is_empty()).collect();
    Ok(uids.into_iter().collect())
}

/// No query is meant to find more.
const STUDIES_MAX: usize = 10_000;

/// As tags are written in DICOM JSON.
const STUDY_INSTANCE_UID: &str = "0020000D";

/// Why a study is not here.
enum Trouble {
    Nothing,
    Part {
        sent: u64,
        failed: u64,
    },
    /// With a remedy.
    Error(String),
}

impl From<SendError> for Trouble {
    fn from(error: SendError) -> Trouble {
        Trouble::Error(format!("{error}. {}", error.remedy()))
    }
}

impl From<AskError> for Trouble {
    fn from(error: AskError) -> Trouble {
        Trouble::Error(format!("{error}. {}", error.remedy()))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Nothing => f.write_str("the archive has sent nothing"),
            Trouble::Part { sent, failed } => {
                write!(f, "the archive could not send {failed} of {} instances", sent + failed)
            }
            Trouble::Error(text) => f.write_str(text),
        }
    }
}

fn not_fetched(door: &Door, number: usize, reason: &dyn fmt::Display) {
    (door.tell)(&Event::NotFetched { number, reason: reason.to_string() });
}

/// Gives how many instances have come: all of them, and at least one.
fn fetch(
    door: &Door,
    commitments: &CommitmentService,
    from: &Archive,
    study: &str,
    stop: &Stop,
) -> Result<u64, Trouble> {
    let fetched = match from {
        Archive::Dimse { node, way: Retrieval::Get } => get(door, commitments, node, study, stop)?,
        // All of it has been answered with success by our listener before this answer came.
        Archive::Dimse { node, way: Retrieval::Move { to } } => move_study(node, study, to)?,
        Archive::Web(node) => {
            let web::Pulled { stored, refused } = web::fetch(door, node, study, stop)?;
            Fetched { sent: stored as u64, failed: refused.len() as u64 }
        }
    };
    tell_count(door, study, fetched);
    match fetched {
        Fetched { sent: 0, failed: 0 } => Err(Trouble::Nothing),
        Fetched { sent, failed: 0 } => Ok(sent),
        Fetched { sent, failed } => Err(Trouble::Part { sent, failed }),
    }
}

fn get(
    door: &Door,
    commitments: &CommitmentService,
    node: &Destination,
    study: &str,
    stop: &Stop,
) -> Result<Fetched, SendError> {
    let visit = door.visit(Way::Association);
    let (calling_ae, called_ae) = (node.ae_title.to_string(), node.calling_ae.to_string());
    let visitor = Visitor { visit, calling_ae, called_ae, study_instance_uid: None };
    let fetched = get_study(door, commitments, visitor, node, study, stop);
    let whole = matches!(fetched, Ok(Fetched { failed: 0, .. }));
    door.studies.leave(visit.number, if whole { Left::RequestEnd } else { Left::Aborted });
    fetched
}

/// What an archive has sent without a failure is all that it has.
fn tell_count(door: &Door, study: &str, fetched: Fetched) {
    if fetched.failed == 0 && fetched.sent > 0 {
        door.studies.told(study, fetched.sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_study_an_accession_number_or_a_query() {
        let wanted = |text: &str| text.parse::<Wanted>().unwrap();
        assert_eq!(wanted(" 1.2.840.1 "), Wanted::Study("1.2.840.1".to_owned()));
        assert_eq!(wanted("A-17"), Wanted::Query("AccessionNumber=A-17".parse().unwrap()));
        assert_eq!(wanted("12345"), Wanted::Query("AccessionNumber=12345".parse().unwrap()));
        assert_eq!(wanted("PatientID=P1"), Wanted::Query("PatientID=P1".parse().unwrap()));
        assert!("".parse::<Wanted>().is_err());
    }
}
