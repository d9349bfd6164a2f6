//! Where studies come in and results go out: folders, and DIMSE over TCP (PS3.7, PS3.8).
//!
//! [`folder::find`] and [`serve`] give requests; [`send`] takes DICOM files. A received study's files
//! lie in an inbox until [`discard`] deletes them.
//!
//! A request from here has the attributes of [`crate::imaging::Study`], `modality` and
//! `series_description` (all that occur, separated by `\`), and `source`, which is `folder` or
//! `dicom`; one from `dicom` also `calling_ae`, `called_ae` and `association`, which is `released`,
//! or `aborted` if a sender broke off.

mod ae_title;
mod association;
mod caller;
mod command;
mod contents;
mod conversation;
mod data_set;
mod deidentify;
mod destination;
mod door;
mod event;
pub mod folder;
mod inbox;
mod instance;
mod names;
mod object;
mod part10;
mod receive;
mod send;
mod send_error;
mod sop_class;
mod status;
mod studies;
mod transcode;

pub use ae_title::{AeTitle, NotAnAeTitle};
pub use caller::{Caller, NotACaller};
pub use contents::contents;
pub use data_set::Unreadable;
pub use deidentify::{BurnedIn, Deidentified, Key, deidentify};
pub use destination::{Destination, NotADestination};
pub use event::{Arrived, Event, log};
pub use inbox::discard;
pub use instance::merge;
pub use object::{NotSendable, Object};
pub use receive::{Called, Settings, Stop, serve};
pub use send::{Outcome, Sent, echo, send, send_each};
pub use send_error::{Cause, SendError, Stage};
pub use status::{Status, Verdict};
pub use studies::End;
pub use transcode::{Decode, PlainPixels};

/// The attribute `source` of what was received.
pub const SOURCE: &str = "dicom";
