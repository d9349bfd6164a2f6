//! Copies of a state folder, also while flow runs, and state folders made of them.
//!
//! A folder of backups has one folder for each, with the numbers in their order. A file that has not changed since
//! the backup before is a hard link to it, so a further backup takes the time and the room of what is new.
//!
//! ```text
//! BACKUPS/0000001/manifest.json   what the backup is of; each file with its size and digest
//! BACKUPS/0000001/state           the files
//! BACKUPS/.0000002.part           one that is being made, or was not finished; marked by a file in it
//! BACKUPS/lock                    held while one is made
//! ```
//!
//! The order of copying makes a backup consistent. The journal is copied first, as it is at one commit. Each
//! file that it names was on the disk before the journal named it, and none is removed meanwhile, as the
//! collector is held back. Everything else is copied after it: what has come later belongs to no request of the
//! backup, and is taken up by the flow that uses it as after a crash.
//!
//! | file | what |
//! |---|---|
//! | `contents` | the files of a state folder that a backup has |
//! | `manifest` | what a backup is of |
//! | `copied_file` | copying a file with its digest |
//! | `places` | where state folders and backups may lie |
//! | `numbered_backups` | the backups in a folder that may have other folders in it, and their drafts |
//! | `make` | making a backup |
//! | `check` | whether all is there that the journal of a backup names |
//! | `restore` | checking a backup, and making a state folder of it |

mod check;
mod contents;
mod copied_file;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod make;
mod manifest;
mod numbered_backups;
mod places;
mod restore;

pub use error::BackupError;
pub use make::{BackupOrder, BackupSummary, DamagedFile};
pub use manifest::{BackupFile, BackupManifest};
pub use restore::{StoredBackup, VerifiedBackup};
