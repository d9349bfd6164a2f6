//! flow: requests with a lot of data in, pure steps over them, exactly one response out.
//!
//! The map, in reading order. A folder is one idea and uses only what stands above it.
//!
//! | folder | what it is |
//! |---|---|
//! | [`step`] | what a step is: values, requests, declarations, faults, the table of steps |
//! | [`yaml`] | files that people write, as trees that know their places; problems with line and hint |
//! | [`dataflow`] | text to a checked [`dataflow::Dataflow`]; its plain meaning, `interpret` |
//! | [`program`] | a program as a step; the only folder that starts processes |
//! | [`store`] | bytes by digest |
//! | [`journal`] | the durable record of what was accepted, done and answered; the only folder that names SQLite |
//! | [`engine`] | a dataflow as timely lanes; the only folder that names timely |
//! | [`cluster`] | several processes as one: how they meet |
//! | [`tls`] | encrypted connections; the only folder that opens certificates and keys |
//! | [`dicom_file`] | DICOM files as bytes: the one reader of their elements |
//! | [`imaging`] | calculations on CT studies and the results made of them; no network, no engine |
//! | [`dicom`] | receiving and sending; the only folder that speaks DIMSE and HTTP |
//! | [`audit`] | who sent what about whom where, told to the audit repository |
//! | [`outbox`] | where responses go: a folder each, and on to a PACS |
//! | [`site`] | a site's settings: who we are there, who may call, which nodes there are |
//! | [`replay`] | a past request run again, compared with what was recorded, and packed into one file |
//! | [`cli`] | one file per subcommand |
//!
//! Invariants, most of them about what is absent:
//!
//! * A step sees its inputs and parameters only: no clock, no random numbers, no environment.
//! * Nothing outside [`engine`] names timely; nothing outside [`dicom_file`], [`imaging`] and [`dicom`] names a DICOM crate.
//! * Whoever holds a [`dataflow::Dataflow`] may rely on it: it cannot be made without having been checked.
//! * What may fail because of data is a [`step::Fault`] and ends in the response; it never ends the process.

pub mod audit;
pub mod cli;
pub mod cluster;
pub mod dataflow;
pub mod dicom;
pub mod dicom_file;
pub mod engine;
pub mod imaging;
pub mod journal;
pub mod outbox;
pub mod program;
pub mod replay;
pub mod site;
pub mod step;
pub mod store;
pub mod tls;
pub mod yaml;
