//! Studies asked for, one after the other, from a list: for reprocessing.
//!
//! An archive is asked which studies fit (C-FIND), and each is fetched through the front door: on the
//! association that asks for it (C-GET), or by letting the archive send it to our listener (C-MOVE).
//! What fails is tried again, and in the end told; it holds up no other study.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use dicom_dictionary_std::tags;

use super::completion::Left;
use super::door::{Door, Visitor};
use super::find::{Fetched, find, get_study, move_study};
use super::query::{Level, NotAQuery, Query};
use super::receive::Stop;
use super::{AeTitle, Destination, Event, SendError, Way};

/// What to fetch, from where, and how.
#[derive(Clone, Debug)]
pub struct Pull {
    pub node: Destination,
    pub wanted: Vec<Wanted>,
    pub way: Retrieval,
    /// How long to wait before each further try of a study.
    pub waits: Vec<Duration>,
}

/// One line of a list. Read from a Study Instance UID, an accession number, or a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Study(String),
    Query(Query),
}

/// How a study travels.
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
pub(super) fn pull(door: &Door, pull: &Pull, stop: &Stop) {
    for (index, wanted) in pull.wanted.iter().enumerate() {
        let number = index + 1;
        let studies = match patiently(pull, stop, || studies(&pull.node, wanted)) {
            Ok(studies) => studies,
            Err(error) => {
                not_fetched(door, number, &error);
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
            match patiently(pull, stop, || fetch(door, pull, &study)) {
                Ok(instances) => (door.tell)(&Event::Fetched { number, instances }),
                Err(trouble) => not_fetched(door, number, &trouble),
            }
        }
    }
}

const LOOK: Duration = Duration::from_millis(100);

/// Tries again after each of the waits, unless receiving ends.
fn patiently<T, E>(pull: &Pull, stop: &Stop, attempt: impl Fn() -> Result<T, E>) -> Result<T, E> {
    let mut tried = attempt();
    let mut waits = pull.waits.iter();
    while tried.is_err() && waits.next().is_some_and(|wait| !stop.wait(*wait)) {
        tried = attempt();
    }
    tried
}

fn studies(node: &Destination, wanted: &Wanted) -> Result<Vec<String>, Trouble> {
    match wanted {
        // An archive that does not answer queries may send a study all the same.
        Wanted::Study(uid) => match find(node, &Query::study(uid, Level::Study)) {
            Ok(found) if found.matches.is_empty() => Ok(Vec::new()),
            _ => Ok(vec![uid.clone()]),
        },
        Wanted::Query(query) => {
            let found = find(node, &Query { level: Level::Study, ..query.clone() })?;
            let uids = found.matches.iter().map(|one| one.text(tags::STUDY_INSTANCE_UID).to_owned());
            // There are archives that tell of a study once for each of its instances.
            let uids: BTreeSet<String> = uids.filter(|uid| !uid.is_empty()).collect();
            Ok(uids.into_iter().collect())
        }
    }
}

/// Why a study is not here.
enum Trouble {
    Nothing,
    Part { sent: u64, failed: u64 },
    Error(Box<SendError>),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Nothing => f.write_str("the archive has sent nothing"),
            Trouble::Part { sent, failed } => {
                write!(f, "the archive could not send {failed} of {} instances", sent + failed)
            }
            Trouble::Error(error) => write!(f, "{error}. {}", error.remedy()),
        }
    }
}

impl From<SendError> for Trouble {
    fn from(error: SendError) -> Trouble {
        Trouble::Error(Box::new(error))
    }
}

fn not_fetched(door: &Door, number: usize, reason: &dyn fmt::Display) {
    (door.tell)(&Event::NotFetched { number, reason: reason.to_string() });
}

/// Gives how many instances have come: all of them, and at least one.
fn fetch(door: &Door, pull: &Pull, study: &str) -> Result<u64, Trouble> {
    match fetch_once(door, pull, study)? {
        Fetched { sent: 0, failed: 0 } => Err(Trouble::Nothing),
        Fetched { sent, failed: 0 } => Ok(sent),
        Fetched { sent, failed } => Err(Trouble::Part { sent, failed }),
    }
}

fn fetch_once(door: &Door, pull: &Pull, study: &str) -> Result<Fetched, SendError> {
    match &pull.way {
        Retrieval::Get => {
            let visit = door.visit(Way::Association);
            let (calling_ae, called_ae) = (&pull.node.ae_title, &pull.node.calling_ae);
            let (calling_ae, called_ae) = (calling_ae.to_string(), called_ae.to_string());
            let visitor = Visitor { visit, calling_ae, called_ae, study_instance_uid: None };
            let fetched = get_study(door, visitor, &pull.node, study);
            let whole = matches!(fetched, Ok(Fetched { failed: 0, .. }));
            tell_count(door, study, &fetched);
            door.studies.leave(visit.number, if whole { Left::RequestEnd } else { Left::Aborted });
            fetched
        }
        Retrieval::Move { to } => {
            // All of it has been answered with success by our listener before this answer came.
            let fetched = move_study(&pull.node, study, to);
            tell_count(door, study, &fetched);
            fetched
        }
    }
}

/// What an archive has sent without a failure is all that it has.
fn tell_count(door: &Door, study: &str, fetched: &Result<Fetched, SendError>) {
    if let Ok(Fetched { sent, failed: 0 }) = fetched {
        door.studies.told(study, *sent);
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
