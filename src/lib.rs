//! flow: requests with a lot of data in, pure steps over them, exactly one response out.
//!
//! The command `flow` is one program that uses this library. This is another, the file `examples/embed.rs`:
//!
//! ```no_run
#![doc = include_str!("../examples/embed.rs")]
//! ```
//!
//! The map, in reading order. A folder is one idea and uses only what stands above it.
//!
//! | folder | what it is |
//! |---|---|
//! | [`printable`] | text that is safe to show, whoever wrote it |
//! | [`step`] | what a step is: values, requests, declarations, faults, the table of steps |
//! | [`yaml`] | files that people write, as trees that know their places; problems with line and hint |
//! | [`dataflow`] | text to a checked [`dataflow::Dataflow`]; its plain meaning, `interpret` |
//! | [`program`] | a program as a step; the only folder that starts processes |
//! | [`store`] | bytes by digest |
//! | [`journal`] | the durable record of what was accepted, done and answered, in SQLite |
//! | [`engine`] | a dataflow as timely lanes |
//! | [`admission`] | requests become durable, known, revised, resumed, answered; where they come from and where responses go |
//! | [`tls`] | encrypted connections; the only folder that opens certificates and keys |
//! | [`cluster`] | several processes as one: whole requests of the first process, run by the others |
//! | [`audit`] | who sent what about whom where, told to the audit repository |
//! | [`tokens`] | small files that move through a row of directories, safe for many processes |
//! | [`site`] | a site's file: general settings, rules from requests to dataflows, and sections that their owners read |
//! | [`outbox`] | the way of responses to their destinations: when each is tried, and what became of it |
//! | [`dicom_file`] | DICOM files as bytes: the one reader of their elements |
//! | [`ledger`] | live views over the requests of the journal; the only folder that names differential |
//! | [`monitor`] | the status page of a running flow over HTTP, and what monitoring asks for |
//! | [`imaging`] | calculations on CT studies and the results made of them; no network, no engine |
//! | [`json`] | JSON values as items of streams, and steps over them |
//! | [`tally`] | the sample of streams and calls: jobs, the services that they ask, the true total |
//! | [`calls`] | calls to services over HTTP as a step; the only folder that names the HTTP client |
//! | [`books`] | tokens of books through their stages: directories as source, destination and journal of the engine |
//! | [`chat`] | message types as dataflow files, and the steps, calls and page of a chat |
//! | [`alarm`] | what a site is told of: by a webhook, a mail or a command; the only folder that names the mail client |
//! | [`trace`] | traces of answered requests for a collector of OpenTelemetry |
//! | [`dicom`] | receiving and sending; the only folder that speaks DIMSE and DICOMweb |
//! | [`files`] | plain files as requests; the folder of responses |
//! | [`replay`] | a past request run again, compared with what was recorded, and packed into one file |
//! | [`backup`] | copies of a state folder, also while flow runs, and state folders made of them |
//! | [`simulate`] | a site as a queueing model: how long studies wait, and what is full first |
//! | [`cli`] | one file per subcommand |
//!
//! Invariants, most of them about what is absent:
//!
//! * A step sees its inputs and parameters only: no clock, no random numbers, no environment.
//! * Nothing outside [`engine`] and [`ledger`] names timely; nothing outside [`dicom_file`], [`imaging`] and [`dicom`] names a DICOM crate.
//! * Whoever holds a [`dataflow::Dataflow`] may rely on it: it cannot be made without having been checked.
//! * What may fail because of data is a [`step::Fault`] and ends in the response; it never ends the process.

#[deny(missing_docs)]
pub mod admission;
pub mod alarm;
pub mod audit;
pub mod backup;
#[cfg(feature = "books")]
pub mod books;
pub mod calls;
#[cfg(feature = "chat")]
pub mod chat;
pub mod cli;
pub mod cluster;
#[deny(missing_docs)]
pub mod dataflow;
pub mod dicom;
pub mod dicom_file;
#[deny(missing_docs)]
pub mod engine;
pub mod files;
pub mod imaging;
pub mod journal;
pub mod json;
pub mod ledger;
pub mod monitor;
pub mod outbox;
#[deny(missing_docs)]
pub mod printable;
pub mod program;
pub mod replay;
pub mod simulate;
pub mod site;
#[deny(missing_docs)]
pub mod step;
#[deny(missing_docs)]
pub mod store;
pub mod tally;
pub mod tls;
pub mod tokens;
pub mod trace;
#[deny(missing_docs)]
pub mod yaml;

#[cfg(test)]
mod fuzzed;
