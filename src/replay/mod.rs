//! A past request run again and compared with what was recorded of it.
//!
//! | file | what |
//! |---|---|
//! | `recording` | what was recorded of a request |
//! | `past` | the same with its bytes, from the journal or an archive |
//! | `scope`, `again`, `records` | which of its steps are run again, and running them |
//! | `comparison` | what a run gave, compared with what it gave before |
//! | `afresh`, `anonymous` | what was run again as a recording of its own; the same without the patient |
//! | `explain` | what became of each step, and what would change it |
//! | `archive` | a recording in one file, written and read |
//! | `difference`, `number` | two values compared part by part |
//! | `picture` | two pictures compared pixel by pixel |
//! | `file` | two files compared by what they are |

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
