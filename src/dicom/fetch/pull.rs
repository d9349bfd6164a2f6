//! Studies asked for, one after the other, from a list: for reprocessing.
//!
//! An archive is asked which studies match (C-FIND), and each is fetched through the instance intake: on the
//! association that asks for it (C-GET), or by letting the archive send it to our listener (C-MOVE). A failed
//! study is tried again, and reported if all tries fail; it holds up no other study.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use dicom_dictionary_std::tags;

use crate::admission::StopSignal;
use crate::dicom::ask::find::find;
use crate::dicom::ask::query::{DimseQuery, QueryError, QueryLevel};
use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::intake::completion::SenderEnd;
use crate::dicom::intake::event::{ReceiverEvent, SessionKind};
use crate::dicom::intake::instance_intake::InstanceIntake;
use crate::dicom::intake::panics::guarded;
use crate::dicom::intake::sender::{InstanceSender, SessionUse};
use crate::dicom::names::ae_title::AeTitle;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom::names::peer_address::PeerAddress;
use crate::dicom::web;
use crate::dicom::wire::peer_error::PeerError;
use crate::printable::counted;

use super::retrieval::{FetchResult, get_study, move_study};
use super::troubles::ArchiveTroubles;

/// Settings of a pull: the studies to fetch, the archive, and the method.
#[derive(Clone, Debug)]
pub struct StudyPull {
    pub from: PeerAddress,
    /// How studies travel from an archive that speaks DIMSE.
    pub method: RetrievalMethod,
    pub wanted: Vec<PullEntry>,
    /// How long to wait before each further try of a study.
    pub waits: Vec<Duration>,
}

/// One line of a list. Read from a Study Instance UID, an accession number, or a [`DimseQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEntry {
    Study(String),
    Query(DimseQuery),
}

/// How a study travels over DIMSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetrievalMethod {
    /// On the association that asks for it.
    Get,
    /// On an association that the archive opens to us; it must know our title and address.
    Move { to: AeTitle },
}

impl fmt::Display for PullEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PullEntry::Study(uid) => f.write_str(uid),
            PullEntry::Query(query) => {
                let pairs: Vec<String> =
                    query.named().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
                f.write_str(&pairs.join(";"))
            }
        }
    }
}

impl FromStr for PullEntry {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<PullEntry, QueryError> {
        let text = text.trim();
        let is_uid = text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_uid {
            return Ok(PullEntry::Study(text.to_owned()));
        }
        let accession = !text.contains('=') && !text.is_empty();
        let query = if accession { format!("AccessionNumber={text}") } else { text.to_owned() };
        query.parse().map(PullEntry::Query)
    }
}

/// What fetching needs of the receiver.
#[derive(Clone, Copy)]
pub(in crate::dicom) struct PullService<'a> {
    pub intake: &'a InstanceIntake<'a>,
    pub commitments: &'a CommitmentService,
    pub troubles: &'a ArchiveTroubles,
    pub stop: &'a StopSignal,
}

impl PullService<'_> {
    /// Fetches all that is wanted, until the stop.
    pub fn pull(&self, pull: &StudyPull) {
        let PullService { intake, stop, .. } = self;
        for (index, wanted) in pull.wanted.iter().enumerate() {
            let number = index + 1;
            let found = self.with_retries(pull, &wanted.to_string(), || studies(&pull.from, wanted));
            let studies = match found {
                Ok(studies) => studies,
                Err(trouble) => {
                    not_fetched(intake, number, &trouble);
                    continue;
                }
            };
            if studies.is_empty() {
                let reason = "the archive has no such study".to_owned();
                (intake.tell)(&ReceiverEvent::NotFetched { number, reason });
            }
            for study in studies {
                // The archive must not send what would only be refused.
                while !intake.studies.have_room() && !stop.wait(LOOK) {}
                if stop.wait(Duration::ZERO) {
                    let reason = "receiving ended before".to_owned();
                    return (intake.tell)(&ReceiverEvent::NotFetched { number, reason });
                }
                let fetched = self.with_retries(pull, &study, || {
                    guarded(PullError::mistake, || fetch(intake, self.commitments, pull, &study, stop))
                });
                match fetched {
                    Ok(instances) => (intake.tell)(&ReceiverEvent::Fetched { number, instances }),
                    Err(trouble) => not_fetched(intake, number, &trouble),
                }
            }
        }
    }

    /// Tries again after each of the waits, unless receiving ends. What fails is noted as trouble with the
    /// archive until the same entry is fetched.
    fn with_retries<T>(
        &self,
        pull: &StudyPull,
        entry: &str,
        attempt: impl Fn() -> Result<T, PullError>,
    ) -> Result<T, PullError> {
        let archive = pull.from.to_string();
        let mut waits = pull.waits.iter();
        loop {
            let failure = match attempt() {
                Ok(fetched) => {
                    self.troubles.worked(&archive, entry);
                    return Ok(fetched);
                }
                Err(failure) => failure,
            };
            let is_first = self.troubles.failed(&archive, &failure.to_string());
            let Some(wait) = waits.next() else {
                self.troubles.given_up(&archive, entry);
                return Err(failure);
            };
            if is_first {
                let (from, reason) = (archive.clone(), failure.to_string());
                (self.intake.tell)(&ReceiverEvent::FetchFails { from, reason });
            }
            if self.stop.wait(*wait) {
                return Err(failure);
            }
        }
    }
}

const LOOK: Duration = Duration::from_millis(100);

fn studies(from: &PeerAddress, wanted: &PullEntry) -> Result<Vec<String>, PullError> {
    let uids: Vec<String> = match (wanted, from) {
        // An archive that does not answer queries may send a study all the same.
        (PullEntry::Study(uid), PeerAddress::Dimse(node)) => {
            match find(node, &DimseQuery::study(uid, QueryLevel::Study)) {
                Ok(found) if found.matches.is_empty() => Vec::new(),
                _ => vec![uid.clone()],
            }
        }
        (PullEntry::Study(uid), PeerAddress::Web(_)) => vec![uid.clone()],
        (PullEntry::Query(query), PeerAddress::Dimse(node)) => {
            let found = find(node, &DimseQuery { level: QueryLevel::Study, ..query.clone() })?;
            found.matches.iter().map(|one| one.text(tags::STUDY_INSTANCE_UID).to_owned()).collect()
        }
        (PullEntry::Query(query), PeerAddress::Web(node)) => {
            let query = web::WebQuery { matching: query.named(), ..web::WebQuery::default() };
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
enum PullError {
    Nothing,
    Part {
        sent: u64,
        failed: u64,
    },
    /// With a remedy.
    Error(String),
}

impl PullError {
    fn mistake(reason: &str) -> PullError {
        PullError::Error(reason.to_owned())
    }
}

impl From<PeerError> for PullError {
    fn from(error: PeerError) -> PullError {
        PullError::Error(format!("{error}. {}", error.remedy()))
    }
}

impl fmt::Display for PullError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PullError::Nothing => f.write_str("the archive has sent nothing"),
            PullError::Part { sent, failed } => {
                write!(f, "the archive could not send {failed} of {}", counted(sent + failed, "instance"))
            }
            PullError::Error(text) => f.write_str(text),
        }
    }
}

fn not_fetched(intake: &InstanceIntake, number: usize, reason: &dyn fmt::Display) {
    (intake.tell)(&ReceiverEvent::NotFetched { number, reason: reason.to_string() });
}

/// Gives how many instances have come: all of them, and at least one.
fn fetch(
    intake: &InstanceIntake,
    commitments: &CommitmentService,
    StudyPull { from, method, .. }: &StudyPull,
    study: &str,
    stop: &StopSignal,
) -> Result<u64, PullError> {
    let fetched = match (from, method) {
        (PeerAddress::Dimse(node), RetrievalMethod::Get) => get(intake, commitments, node, study, stop)?,
        // All of it has been answered with success by our listener before this answer came.
        (PeerAddress::Dimse(node), RetrievalMethod::Move { to }) => move_study(node, study, to)?,
        (PeerAddress::Web(node), _) => {
            let web::PullResult { stored, refused } = web::fetch(intake, node, study, stop)?;
            FetchResult { sent: stored as u64, failed: refused.len() as u64 }
        }
    };
    tell_count(intake, study, fetched);
    match fetched {
        FetchResult { sent: 0, failed: 0 } => Err(PullError::Nothing),
        FetchResult { sent, failed: 0 } => Ok(sent),
        FetchResult { sent, failed } => Err(PullError::Part { sent, failed }),
    }
}

fn get(
    intake: &InstanceIntake,
    commitments: &CommitmentService,
    node: &DimseNode,
    study: &str,
    stop: &StopSignal,
) -> Result<FetchResult, PeerError> {
    let session = intake.session(SessionKind::Association);
    let (calling_ae, called_ae) = (node.ae_title.to_string(), node.calling_ae.to_string());
    let (study_instance_uid, session_use) = (None, SessionUse::OneTransfer);
    let sender = InstanceSender { session, calling_ae, called_ae, study_instance_uid, session_use };
    let fetched = get_study(intake, commitments, sender, node, study, stop);
    let whole = matches!(fetched, Ok(FetchResult { failed: 0, .. }));
    intake.studies.leave(session.number, if whole { SenderEnd::RequestEnd } else { SenderEnd::Aborted });
    fetched
}

/// Notes the study's count: an archive that reports no failure has sent all its instances.
fn tell_count(intake: &InstanceIntake, study: &str, fetched: FetchResult) {
    if fetched.failed == 0 && fetched.sent > 0 {
        intake.studies.told(study, fetched.sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_study_an_accession_number_or_a_query() {
        let wanted = |text: &str| text.parse::<PullEntry>().unwrap();
        assert_eq!(wanted(" 1.2.840.1 "), PullEntry::Study("1.2.840.1".to_owned()));
        assert_eq!(wanted("A-17"), PullEntry::Query("AccessionNumber=A-17".parse().unwrap()));
        assert_eq!(wanted("12345"), PullEntry::Query("AccessionNumber=12345".parse().unwrap()));
        assert_eq!(wanted("PatientID=P1"), PullEntry::Query("PatientID=P1".parse().unwrap()));
        assert!("".parse::<PullEntry>().is_err());
    }
}
