//! Where studies come in and results go out: folders, DIMSE over TCP (PS3.7, PS3.8), and DICOMweb
//! (PS3.18, [`web`]).
//!
//! [`folder::find`] and [`serve`] give requests; [`send`] takes DICOM files. A received study's files
//! lie in an inbox until [`release`] deletes them.
//!
//! A request from here has [`ATTRIBUTES`]: those of [`crate::imaging::Study`], `modality` and
//! `series_description` (all that occur), and `source`, which is `folder` or `dicom`; one from `dicom`
//! also `calling_ae`, `called_ae`, `association`, which is `released`, or `aborted` if a sender broke
//! off, and `complete_by`, the name of a [`Signal`].

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

pub use ask::find::{Found, counter, find};
pub use ask::query::{Level, Match, NotAQuery, Query};
pub use ask::send::{Outcome, Sent, echo, send, send_each};
pub use commitment::commitments::Commitments;
pub use commitment::request::{Await, commit};
pub use commitment::transaction::{Committed, Reference};
pub use conformance::conformance;
pub use fetch::pull::{Archive, Pull, Retrieval, Wanted};
pub use fetch::retrieval::{Fetched, move_study};
pub use file::contents::contents;
pub use file::data_set::Unreadable;
pub use file::deidentify::{BurnedIn, Deidentified, Key, deidentify};
pub use file::object::{NotSendable, Object};
pub use file::transcode::{Decode, PlainPixels, plain_pixels};
pub use intake::arriving::SOURCE;
pub use intake::completion::{AtCap, Cap, Completion, Counter, Signal};
pub use intake::event::{Arrived, End, Event, Visit, Way, log};
pub use intake::expected::{Expected, NotExpected};
pub use intake::folder;
pub use intake::inbox::release;
pub use intake::instance::merge;
pub use intake::stop::Stop;
pub use intake::waiting::{Waiting, waiting};
pub use names::ae_title::{AeTitle, NotAnAeTitle};
pub use names::destination::{Destination, NotADestination};
pub use names::status::{Status, Verdict};
pub use serve::listen::serve;
pub use serve::settings::Settings;
pub use source::{ATTRIBUTES, StudyFiles, StudyReceiver};
pub use watch::Watched;
pub use wire::caller::{Called, Caller, NotACaller};
pub use wire::send_error::{Cause, SendError, Stage};
