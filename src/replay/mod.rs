//! A past request run again and compared with what was recorded of it.
//!
//! | file | what |
//! |---|---|
//! | `recording` | what was recorded of a request |
//! | `archive` | a recording in one file, written and read |
//! | `difference`, `number` | two values compared part by part |
//! | `picture` | two pictures compared pixel by pixel |
//! | `file` | two files compared by what they are |

mod archive;
mod difference;
mod file;
mod number;
mod picture;
mod recording;

pub use archive::{PackError, UnpackError, Unpacked, pack, unpack};
pub use difference::{Change, Difference, What};
pub use file::FileDifference;
pub use number::{Distance, Number};
pub use picture::{NotComparable, PictureDifference, Pixels};
pub use recording::{Content, DataflowText, Kept, Output, Recording, Run};
