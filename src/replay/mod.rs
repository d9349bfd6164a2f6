//! A past request run again and compared with what was recorded of it.

mod difference;
mod number;
mod picture;

pub use difference::{Change, Difference, What};
pub use number::{Distance, Number};
pub use picture::{NotComparable, PictureDifference, Pixels};
