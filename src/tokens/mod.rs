//! Tokens in directories: small JSON files that move through a row of stages, each a directory, safe for many
//! processes.
//!
//! The directories are the whole truth. A token is one file that moves by rename and never exists twice: a worker
//! claims it by moving it into a place of its own, exchanges it there with its new text, and moves it on from there.
//! Beside the directory of a stage lie those that belong to it:
//!
//! ```text
//! 02_decrypted/B1.json                           a token that waits for the next stage
//! 02_decrypted.work/HOST-PID-1f/B2.json          one that a worker has claimed; `.lease` is beside it
//! 02_decrypted.failed/B3.json~wrong-digest       one that is parked, with the reason in its name
//! 02_decrypted.later/B4.json~at-1767225600       one that is looked at again at this time (Unix seconds)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `token`, `name` | a token and its log; names of files that are tokens |
//! | `stage_folder`, `entry` | the directories of a stage; what an entry is, however hostile |
//! | `rename` | moving a file without replacing another; exchanging two |
//! | `draft_files` | the files into which new texts are written |
//! | `work_place`, `takeover` | the place of a worker with its lease; taking over that of a lost worker |
//! | `claim` | the next token of a directory, at a cost that does not depend on how many there are |
//! | `finish` | tokens on their way out, with one sync for many |
//! | `parked` | parked and postponed tokens back into their stage |
//! | `count` | how many tokens are where |
//!
//! Assumed of a file system: rename is atomic, and a rename of a directory takes its files with it. One that knows
//! `RENAME_NOREPLACE` (ext4, XFS, Btrfs, tmpfs) moves a token in one step; elsewhere (NFS) it has both names for a
//! moment, and a crash then leaves a second name of the same file, which the takeover removes. One that knows no
//! `RENAME_EXCHANGE` (NFS) gives the new text the name of the old one, whose file goes.

mod claim;
mod count;
mod draft_files;
mod entry;
mod finish;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod name;
mod parked;
mod rename;
mod stage_folder;
mod takeover;
mod token;
mod work_place;

pub use claim::{ClaimOutcome, ClaimedToken, TokenClaims};
pub use count::{StageCount, TokenStanding, list_tokens};
pub use finish::{FinishedToken, PlacedToken, TokenEnd, finish_tokens};
pub use name::{NameFault, TokenName, reason_slug};
pub use parked::{ParkedToken, list_parked, release_due, retry_parked};
pub use rename::{open_plain, rename_new};
pub use stage_folder::{StageFolder, TokenError, TokenPlace};
pub use takeover::{LeaseWatch, TakenOver};
pub use token::{LocatedFile, StageToken, TokenEntry, TokenEvent};
pub use work_place::WorkPlace;
