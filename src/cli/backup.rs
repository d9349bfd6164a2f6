//! `flow backup` and `flow restore`: copies of a state folder, and state folders made of them.

use std::path::PathBuf;

use crate::backup::{BackupError, BackupOrder, BackupSummary, DamagedFile, StoredBackup, VerifiedBackup};
use crate::journal::Journal;
use crate::printable::counted;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::output::{self, print_line};
use super::state_arguments::StateArguments;

/// Make a consistent copy of a state folder, also while flow runs
///
/// Each backup is a folder of its own below DIR, with the next number. Files that have not changed since the
/// backup before are linked to it. The folder of responses, what others keep in directories, and the site's file
/// with its keys are not part of the state: copy them as any other files.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow backup /backup/flow --keep 14           of the flow here, the last 14 stay
  flow restore /backup/flow --check            whether the last one is whole
  flow restore /backup/flow --state flow-state")]
pub struct BackupArguments {
    /// The folder of the backups; made if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Keep the last N backups, and remove older ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,

    /// Print a line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    state: StateArguments,
}

/// Make a state folder of a backup
///
/// All files are compared with the digests that the backup has of them. The state folder must not be there yet,
/// or be empty; received files are found in it wherever it is. The backup stays as it is.
#[derive(Debug, clap::Args)]
pub struct RestoreArguments {
    /// A backup, or a folder of backups for the last one in it
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,

    /// The state folder to make
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    state: Option<PathBuf>,

    /// Only compare the backup with its digests
    #[arg(long, conflicts_with = "state")]
    check: bool,

    /// Print a line of JSON
    #[arg(long)]
    json: bool,
}

impl BackupArguments {
    /// A backup that lacks something is made all the same, and ends with an error: it may be all that is left.
    pub fn run(self) -> Result<CommandExit, CommandError> {
        let state = self.state.find()?;
        let keep = self.keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
        let made = BackupOrder { state, backups: self.folder, keep }.make()?;
        let BackupSummary { folder, files, bytes, linked, requests, damaged } = &made;
        if self.json {
            let line = serde_json::json!({
                "backup": folder, "files": files, "bytes": bytes, "linked": linked, "requests": requests.all,
                "open": requests.open, "missing": requests.missing,
                "damaged": damaged.iter().map(|file| file.path.as_str()).collect::<Vec<&str>>(),
            });
            print_line(line)?;
        } else {
            print_line(folder.display())?;
            output::tell_line(format_args!(
                "  {}, {}; {linked} as in the backup before; {}, {} not answered",
                counted(*files, "file"),
                size(*bytes),
                counted(requests.all, "request"),
                requests.open,
            ));
        }
        Ok(exit(&requests.missing, damaged))
    }
}

impl RestoreArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        let backup = StoredBackup::open(&self.backup)?;
        let done = match &self.state {
            Some(state) => backup.restore(state)?,
            None => backup.verify()?,
        };
        let VerifiedBackup { folder, files, bytes, requests, moved } = &done;
        if self.json {
            let line = serde_json::json!({
                "backup": folder, "state": self.state, "files": files, "bytes": bytes, "requests": requests.all,
                "open": requests.open, "moved": moved, "missing": requests.missing,
            });
            print_line(line)?;
        } else {
            print_line(self.state.as_ref().unwrap_or(folder).display())?;
            output::tell_line(format_args!(
                "  {}, {}, as their digests say; {}, {} not answered",
                counted(*files, "file"),
                size(*bytes),
                counted(requests.all, "request"),
                requests.open,
            ));
        }
        Ok(exit(&requests.missing, &[]))
    }
}

/// Tells what is not as it should be.
fn exit(missing: &[String], damaged: &[DamagedFile]) -> CommandExit {
    for one in missing {
        output::tell_line(format_args!("  missing: {one}"));
    }
    for DamagedFile { path, what } in damaged {
        output::tell_line(format_args!("  damaged: {path} {what}"));
    }
    if damaged.iter().any(|file| file.path == Journal::FILE) {
        output::tell_line(
            "  hint: stop this flow, and restore the last backup that `flow restore NUMBER --check` finds whole; this one is \
             for recovering by hand what can still be read",
        );
    }
    match missing.is_empty() && damaged.is_empty() {
        true => CommandExit::Done,
        false => CommandExit::WithErrors,
    }
}

fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl From<BackupError> for CommandError {
    fn from(error: BackupError) -> CommandError {
        let hint = match &error {
            BackupError::NoState(_) => "give the --state of the flow",
            BackupError::NoBackup(_) => "give a folder that `flow backup` made, or one of its numbers",
            BackupError::Occupied(_) => "name another folder, or remove it",
            BackupError::Changed(_) | BackupError::Damaged { .. } => {
                "nothing was restored; take an earlier backup"
            }
            BackupError::Nested { .. } => "name a folder beside the state folder, better on another disk",
            BackupError::NoNumber(_) => "name another folder for the backups",
            BackupError::Busy(_) => "wait until it has ended, or name another folder",
            BackupError::Failed { .. } => {
                "see whether its disk is full or broken, and whether you may write there"
            }
            BackupError::Journal(_) | BackupError::Manifest { .. } | BackupError::NoText(_) => {
                return CommandError::of(CommandErrorKind::InputOutput)(error);
            }
        };
        CommandError::of(CommandErrorKind::InputOutput)(error).hint(hint)
    }
}
