//! The durable record: what was accepted, what became of each step, what was answered to whom.
//!
//! A SQLite file, so that an operator can look into it with an ordinary tool. `record` is a log that is
//! only added to; `request` has a row for each request that says where it stands. One thread writes.
//! What is waiting is committed together, so that many receipts cost one sync of the disk.
//!
//! SQLite does not notice a bit that the disk has turned. So every record carries a digest of itself
//! and of the one before it of the same request, every row of `request` a digest of itself, and the
//! file the sum of these: what is read is either as it was written or refused.
//!
//! | file | what |
//! |---|---|
//! | `arrival`, `entry` | what is recorded |
//! | `operator_request` | what operators ask for |
//! | `schema` | the tables and their version |
//! | `row`, `query`, `total` | where each request stands, with the digests |
//! | `lookup` | requests by the texts by which people call them |
//! | `once` | requests that are known again by such a text |
//! | `log`, `transaction`, `immediate_transaction` | adding |
//! | `summary`, `tally`, `standing`, `health`, `cut`, `recount` | what views over all requests are made of: records, counts, and changes |
//! | `general_reason` | reasons of faults without what may name a patient |
//! | `writer` | the thread that commits |
//! | `checkpointer` | checkpoints beside it, where commits must not wait for them |
//! | `history` | all records of one request, read back |
//! | `small_files` | files of responses that are safe as part of a record |
//! | `receipt` | the proof that a request was accepted |
//! | `process_journal` | the journal of one process |
//! | `verifier` | reading all once after a start |
//! | `reader` | looking in from beside, and what operators ask for |
//! | `collector` | forgetting what is old |
//! | `snapshot`, `relocate` | copies of the file, and a state folder that has moved |

mod arrival;
mod checkpointer;
mod collector;
mod cut;
mod entry;
mod error;
mod general_reason;
mod health;
mod history;
mod immediate_transaction;
mod known_reasons;
mod log;
mod lookup;
mod once;
mod operator_request;
mod process_journal;
mod query;
mod reader;
mod receipt;
mod recount;
mod relocate;
mod row;
mod schema;
pub mod small_files;
mod snapshot;
mod standing;
mod summary;
pub mod tally;
mod tally_fold;
mod total;
mod transaction;
mod verifier;
mod writer;

pub use arrival::RequestArrival;
pub use checkpointer::{WRITER_PAGES, WalCheckpointer};
pub use collector::{CollectedTotals, Release, RetentionLimits, hold_back_collector};
pub use cut::{CommitObserver, JournalCommit, JournalCut};
pub use entry::{BatchPlace, ItemLogRecord, JournalEntry, OutputRecord, RunPlace, RunRecord, ValuePlace};
pub use error::{DatabaseError, JournalError};
pub use general_reason::{general, general_fault};
pub use health::{DestinationHealth, DownDestinations};
pub use history::{DatedEntry, RequestHistory};
pub use immediate_transaction::ImmediateTransaction;
pub use once::{OnceAccepted, RequestBegin};
pub use operator_request::OperatorRequest;
pub use process_journal::Journal;
pub use reader::{JournalReader, RequestNames, RequestOverview};
pub use receipt::{Receipt, RequestStanding};
pub use relocate::StateMove;
pub use row::{AnswerKind, RequestRow, RequestState};
pub use snapshot::{copy_database, damage};
pub use standing::{StandingCounts, StandingKey, StandingTotals};
pub use summary::{AcceptedSummary, RecordMeaning, RecordSummary, RunSummary};
