//! Where studies come in and results go out: folders, DIMSE over TCP (PS3.7, PS3.8), and DICOMweb
//! (PS3.18, [`web`]).
//!
//! [`folder::find`] and [`serve`] give requests; [`send`] takes DICOM files. A received study's files
//! lie in an inbox until [`release`] deletes them.
//!
//! A request from here has the attributes of [`crate::imaging::Study`], `modality` and
//! `series_description` (all that occur, separated by `\`), and `source`, which is `folder` or
//! `dicom`; one from `dicom` also `calling_ae`, `called_ae`, `association`, which is `released`,
//! or `aborted` if a sender broke off, and `complete_by`, the name of a [`Signal`].

mod ae_title;
mod arriving;
mod association;
mod caller;
mod command;
mod commitment;
mod commitments;
mod completion;
mod conformance;
mod contents;
mod conversation;
mod data_set;
mod deidentify;
mod destination;
mod door;
mod event;
mod expected;
mod find;
pub mod folder;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod inbox;
mod instance;
mod names;
mod object;
mod part10;
mod plain;
mod provider;
mod pull;
mod query;
mod receive;
mod reports;
mod send;
mod send_error;
mod sop_class;
mod status;
mod studies;
mod transcode;
pub mod verify;
mod waiting;
mod watch;
pub mod web;

pub use ae_title::{AeTitle, NotAnAeTitle};
pub use caller::{Caller, NotACaller};
pub use commitment::{Await, Committed, Reference, commit};
pub use commitments::Commitments;
pub use completion::{AtCap, Cap, Completion, Signal};
pub use conformance::conformance;
pub use contents::contents;
pub use data_set::Unreadable;
pub use deidentify::{BurnedIn, Deidentified, Key, deidentify};
pub use destination::{Destination, NotADestination};
pub use event::{Arrived, Event, Visit, Way, log};
pub use expected::{Expected, NotExpected};
pub use find::{Fetched, Found, counter, find, move_study};
pub use inbox::release;
pub use instance::merge;
pub use object::{NotSendable, Object};
pub use pull::{Archive, Pull, Retrieval, Wanted};
pub use query::{Level, Match, NotAQuery, Query};
pub use receive::{Called, Settings, Stop, serve};
pub use send::{Outcome, Sent, echo, send, send_each};
pub use send_error::{Cause, SendError, Stage};
pub use status::{Status, Verdict};
pub use studies::End;
pub use transcode::{Decode, PlainPixels, plain_pixels};
pub use waiting::{Waiting, waiting};
pub use watch::Watched;

/// The attribute `source` of what was received.
pub const SOURCE: &str = "dicom";
