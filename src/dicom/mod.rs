//! Where studies come in and results go out: folders, DIMSE over TCP (PS3.7, PS3.8), and DICOMweb
//! (PS3.18, [`web`]).
//!
//! [`folder::find`] and [`serve`] give requests; [`send`] takes DICOM files. A received study's files
//! lie in an inbox until [`release`] deletes them.
//!
//! A request from here has [`ATTRIBUTES`]: those of [`crate::imaging::StudyAttributes`], `modality` and
//! `series_description` (all that occur), and `source`, which is `folder` or `dicom`; one from `dicom`
//! also `calling_ae`, `called_ae`, `association`, which is `released`, `aborted` if a sender broke
//! off, or `open` if its association stayed open, and `complete_by`, the name of a [`CompletionSignal`].

mod ask;
mod commitment;
mod conformance;
pub mod deliver;
mod fetch;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod intake;
mod names;
mod serve;
pub mod site;
mod source;
pub mod verify;
mod watch;
pub mod web;
mod wire;

pub use crate::dicom_file::inflate::{
    BUDGET_BYTES as INFLATE_BUDGET_BYTES, set_budget as set_inflate_budget,
};
pub use ask::find::{FindResult, counter, find};
pub use ask::query::{DimseQuery, QueryError, QueryLevel, QueryMatch};
pub use ask::send::{SendOutcome, SentObject, echo, send, send_each};
pub use commitment::commitments::RequestedCommitments;
pub use commitment::request::{OutcomeChannel, commit};
pub use commitment::transaction::{CommitmentOutcome, ObjectReference};
pub use conformance::conformance;
pub use fetch::order::{HandedOrder, OrderOutcome, OrderedRetrieval, PullOrder, PullPlanner};
pub use fetch::pull::{PullEntry, RetrievalMethod, StudyPull};
pub use fetch::retrieval::{FetchResult, move_study};
pub use fetch::troubles::{ArchiveTrouble, archive_troubles};
pub use file::contents::contents;
pub use file::data_set::DataSetError;
pub use file::deidentify::{BurnedIn, DeidentifiedFile, PseudonymKey, deidentify};
pub use file::object::{DicomObject, ObjectError};
pub use file::transcode::{Decode, PlainPixels, plain_pixels};
pub use intake::completion::{CompletionRules, CompletionSignal, Counter, WaitLimit, WaitLimitAction};
pub use intake::event::{ArrivedInstance, AssociationEnd, IntakeSession, ReceiverEvent, SessionKind, log};
pub use intake::expected::{ExpectedSeries, SeriesRuleError};
pub use intake::folder;
pub use intake::inbox::release;
pub use intake::instance::{SOURCE, merge};
pub use intake::instance_intake::OwnResults;
pub use intake::waiting::{WaitingStudy, waiting};
pub use names::ae_title::{AeTitle, AeTitleError};
pub use names::delivered_objects::{DeliveredObjects, RecordObjects};
pub use names::dimse_node::{DimseNode, DimseNodeError};
pub use names::peer_address::{PeerAddress, PeerAddressError};
pub use names::status::{DimseStatus, StatusClass};
pub use serve::listen::serve;
pub use serve::settings::ReceiveSettings;
pub use source::{ATTRIBUTES, StudyFiles, StudyReceiver};
pub use watch::WatchedFolder;
pub use wire::caller::{CalledTitles, CallerError, KnownCaller};
pub use wire::peer_error::{ExchangeStage, PeerError, PeerErrorCause};
