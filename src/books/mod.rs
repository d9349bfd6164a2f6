//! Books: tokens that move through a row of directories, each stage a step of a dataflow, on the one engine.
//!
//! A dataflow whose steps take and give tokens and name a directory (`to`) is a row of stages ([`StageRow`]). Each
//! stage is a small dataflow of its own: a claimed token is a request ([`StageSource`]), the response moves it on
//! ([`StageSink`]). The engine keeps no journal here: the directories are source, destination and journal, so that
//! nothing can disagree with them, and any number of processes share them. See [`crate::tokens`].
//!
//! | file | what |
//! |---|---|
//! | `stages` | a dataflow as a row of stages |
//! | `work` | one stage in this process: what it has claimed |
//! | `source`, `sink` | tokens into the engine, and out of it in groups |
//! | `upkeep` | leases, takeovers, postponed tokens, choosing, the end |
//! | `chooser`, `inventory` | which books are begun, and the list of all |
//! | `backlog`, `backlog_watch` | what is available and not converted; the same kept while the row runs |
//! | `book_store` | where books are stored: a folder or a bucket |
//! | `new_file` | files that appear when they are whole |
//! | `run` | all of it together |
//! | `report` | counts and rates of the stages |
//! | `place`, `secret`, `pace` | what the steps share: folders of books, secrets by reference, a rate over all processes |
//! | `sample`, `server`, `sample_service` | sample books, the server that has them, and the one of this process |
//! | `steps` | the steps |

mod backlog;
mod backlog_watch;
mod book_store;
mod chooser;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod inventory;
mod new_file;
mod pace;
mod place;
mod report;
mod run;
mod sample;
mod sample_service;
mod secret;
mod server;
mod sink;
mod source;
mod stages;
pub mod steps;
mod upkeep;
mod work;

pub use backlog::{BacklogClass, BacklogError, BookBacklog, BookMembership, BookSet};
pub use backlog_watch::{BacklogWatch, kept_numbers, numbers};
pub use chooser::BookChooser;
pub use inventory::BookInventory;
pub use report::{RowReport, StageLine};
pub use run::{RowRun, RowRunError, RowSizes};
pub use sample::SampleBooks;
pub use server::{BookServer, BookTroubles, ServerCounts};
pub use sink::StageSink;
pub use source::StageSource;
pub use stages::{BookStage, RowError, StageRow};
pub use upkeep::{RowEnd, RowUpkeep, UpkeepOptions};
pub use work::{StageWork, WorkCounts};
