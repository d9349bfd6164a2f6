//! The replay of a past request and its comparison with the recording.
//!
//! | file | what |
//! |---|---|
//! | `recording` | the recording of a request |
//! | `past` | a recording with its bytes, from the journal or an archive |
//! | `scope`, `again`, `records` | the choice of the steps to run again, and their runs |
//! | `comparison` | the results of a run compared with the recorded ones |
//! | `afresh`, `anonymous` | a recording made from a replay, also of an anonymized request |
//! | `explain` | the outcome of each step, and what would change it |
//! | `archive` | recordings written to one file and read from it |
//! | `difference`, `number` | comparison of two values part by part |
//! | `picture` | comparison of two pictures pixel by pixel |
//! | `file` | comparison of two files by their media type |

mod afresh;
mod again;
mod anonymous;
mod archive;
mod comparison;
mod difference;
mod explain;
mod file;
mod number;
mod past;
mod picture;
mod recording;
mod records;
mod scope;

pub use again::{Again, Depends, Ran, Watch, again, shadow};
pub use anonymous::{Anonymous, NotAnonymous, anonymous};
pub use archive::{PackError, UnpackError, Unpacked, pack, unpack};
pub use comparison::{Part, Verdict};
pub use difference::{Change, Difference, What};
pub use explain::{Ending, Explanation, Story};
pub use file::FileDifference;
pub use number::{Distance, Number};
pub use past::{Past, PastError};
pub use picture::{NotComparable, PictureDifference, Pixels};
pub use recording::{Content, DataflowText, Kept, Output, Recording, Run};
pub use scope::{NoSuchStep, Scope};
