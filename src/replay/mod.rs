//! The replay of a past request and its comparison with the recording.
//!
//! | file | what |
//! |---|---|
//! | `recording` | the recording of a request |
//! | `past` | a recording with its bytes, from the journal or an archive |
//! | `scope`, `again`, `records` | the choice of the steps to run again, and their runs |
//! | `timed_run` | the time limit of a run |
//! | `comparison` | the results of a run compared with the recorded ones |
//! | `afresh`, `anonymous` | a recording made from a replay, also of an anonymized request |
//! | `digester` | the digest of recorded bytes |
//! | `explain`, `explain_streams` | the outcome of each step and its items, and what would change it |
//! | `archive` | recordings written to one file and read from it |
//! | `difference`, `number` | comparison of two values part by part |
//! | `picture` | comparison of two pictures pixel by pixel |
//! | `file` | comparison of two files by their media type |

mod afresh;
mod again;
mod anonymous;
mod archive;
mod calls;
mod comparison;
mod difference;
mod digester;
mod explain;
mod explain_streams;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod number;
mod past;
mod picture;
mod recording;
mod records;
mod scope;
mod timed_run;

pub use again::{ReplayObserver, ReplayResult, ReplayedRun, RunDependencies, again, shadow};
pub use anonymous::{AnonymizeError, AnonymousRequest, anonymous};
pub use archive::{PackError, UnpackError, UnpackedArchive, pack, unpack};
pub use comparison::{OutputDifference, RunVerdict};
pub use difference::{ChangeKind, ValueChange, ValueDifference};
pub use explain::{RequestExplanation, StepEnding, StepExplanation, StepLog};
pub use explain_streams::{StreamExplanation, StreamLog};
pub use file::FileDifference;
pub use number::{ComparedNumber, NumberDistance};
pub use past::{PastError, PastRequest};
pub use picture::{PictureDifference, PictureError, PixelDifference};
pub use recording::{
    DataflowText, RecordingContent, RecordingForm, RecordingLog, RecordingOutput, RecordingRun,
    RequestRecording,
};
pub use scope::{NoSuchStep, ReplayScope};
