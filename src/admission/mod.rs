//! Requests become durable, are known again, revised, resumed, cancelled, retried and answered.
//!
//! A library: no command line, no terminal, no DICOM. A [`Service`] owns a state folder with its journal
//! and runs a [`Source`] against an [`crate::engine::ResponseSink`]; the command `flow run` is one caller of it,
//! `examples/embed.rs` another.
//!
//! | file | what |
//! |---|---|
//! | `source` | the trait [`Source`] and the table of those that are known |
//! | `accept` | one request recorded and handed to the engine, or found to be known |
//! | `resume` | what an earlier process left unanswered |
//! | `deferred`, `left_requests`, `pauses` | accepted requests that wait on the disk; what is paused |
//! | `dataflow_selector`, `dataflow_updates` | which dataflow a request goes through; new ones while requests come in |
//! | `service`, `operator` | a source, a sink and the engine together; what operators ask for meanwhile |
//! | `lookup`, `operator_request` | one request found, and asked something of, beside the process that runs it |
//! | `destination`, `part_answer`, `delivery` | the trait [`Destination`], its answers, and what became of a response at one |
//! | `event` | what a person may want to see of all that |
//! | `state`, `stop` | the lock of a state folder; the end of a source |

mod accept;
mod dataflow_selector;
mod dataflow_updates;
mod deferred;
mod delivery;
mod destination;
mod event;
mod left_requests;
mod lookup;
mod operator;
mod operator_request;
mod part_answer;
mod pauses;
mod resume;
mod service;
mod source;
mod state;
mod stop;

pub use accept::Accepted;
pub use dataflow_selector::{DataflowSelector, SelectionRule};
pub use dataflow_updates::DataflowUpdates;
pub use delivery::{DeliveryRecord, FileDelivery, FileState};
pub use destination::{
    DeliveryErrorKind, DeliveryTrouble, Destination, DestinationReach, OutgoingResponse, PartAnswers,
    PartFinding,
};
pub use event::{AdmissionEvent, AdmissionObserver, UnobservedAdmission};
pub use left_requests::LeftRequests;
pub use lookup::find_requests;
pub use operator_request::{PointlessReason, WishError, note_wish};
pub use part_answer::{PartAnswer, PartOutcome};
pub use pauses::{PauseRecord, pause_part, pause_records, resume_part};
pub use service::{Service, ServiceError, ServiceSettings};
pub use source::{Admission, BuiltInSource, Intake, Source, SourceTable};
pub use state::{StateError, StateFolder};
pub use stop::StopSignal;
