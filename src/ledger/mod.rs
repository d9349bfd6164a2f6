//! Live views over the requests of a journal: what each one waits for and since when, how many stand where,
//! how long steps take, what fails. The only folder that names differential dataflow.
//!
//! There are three layers. A fold in plain Rust follows the records of each unanswered request. Differential
//! collections hold what spans requests: they join the requests with what the fold says of each, and
//! deliveries with the health of their destinations. A mirror has the rows of all views at one commit of the
//! journal; everybody reads there. The ledger has a thread and a timely worker of its own, so that no epoch of
//! the engine waits for it. Answered requests are in the journal's counts only.
//!
//! | file | what |
//! |---|---|
//! | `names` | texts as numbers |
//! | `row` | the rows of the views |
//! | `wiring` | which step needs which |
//! | `notice` | events that no record has |
//! | `open_request`, `fold` | one request as its records show it, and the changes of each record |
//! | `views` | the differential collections |
//! | `mirror` | the rows at one commit, and their changes |
//! | `thread` | the thread that keeps the mirror |
//! | `plain` | the same rows counted afresh, without a running flow |
//! | `reason_code` | codes of the reasons of destinations |
//! | `snapshot` | the rows by their names, for people and programs |
//! | `quantile` | times from their buckets |
//! | `declared` | views that a site declares |
//! | `table`, `sql` | the rows as tables, and questions about them |
//! | `sets` | differences of large sets |

mod declared;
mod fold;
mod mirror;
mod names;
mod notice;
mod open_request;
mod plain;
mod quantile;
mod reason_code;
mod row;
mod sets;
mod snapshot;
mod sql;
mod table;
mod thread;
mod views;
mod wiring;

pub use declared::{DeclaredView, DeclaredViews, EventField, EventName, add_declared_rows};
pub use mirror::{LedgerMirror, MirrorFrame, MirrorStart, MirrorState};
pub use names::{NameId, NameTable};
pub use notice::LedgerNotice;
pub use plain::plain_rows;
pub use quantile::{TimeHistogram, histogram_of};
pub use reason_code::{REASON_CODES, reason_code};
pub use row::{RowCounts, TallyRow, ViewRow, WaitReason};
pub use sets::{SetChange, SetDifference, SetViews};
pub use snapshot::{
    DeclaredSummary, DestinationSummary, FaultSummary, HourSummary, LedgerSnapshot, OldestRequest,
    StandingSummary, StepSummary, WaitSummary, WaitingRequest,
};
pub use sql::{LedgerSql, SqlError, SqlPart};
pub use table::{TABLES, TableColumns, row_json};
pub use thread::{Ledger, LedgerSettings};
pub use wiring::{StepWiring, WiredRuns, WiringLookup};
