//! `flow cancel`, `flow retry`, `flow hurry` and `flow keep`: requests of an operator about one request.
//!
//! The operator request is recorded in the journal. A running flow carries it out within a second, a stopped
//! one when it starts.

use std::path::{Path, PathBuf};

use crate::admission::{StateFolder, WishError, note_wish};
use crate::journal::OperatorRequest;
use crate::tokens::{StageFolder, list_parked, retry_parked};

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::lookup::{FoundRequest, RequestLookup};
use super::output::print_line;

/// End a request; its sender gets an error response that says so
#[derive(Debug, clap::Args)]
pub struct CancelArguments {
    #[command(flatten)]
    lookup: RequestLookup,
}

/// Run again what failed of a request, or deliver again what is not delivered
///
/// Steps that are done are not run again. A request that is complete is delivered again, which
/// changes nothing where it is already. One that waits for its next try is tried at once.
///
/// With --row, parked tokens of a row of directories are put back into their stage.
#[derive(Debug, clap::Args)]
pub struct RetryArguments {
    #[command(flatten)]
    lookup: RequestLookup,

    /// The folder of a row of directories; REQUEST is a barcode, a reason as the names of files have it, or `all`
    #[arg(long, value_name = "DIR")]
    row: Option<PathBuf>,
}

/// Let a waiting request begin before all that are not urgent
///
/// It holds after a restart, too. A request that has begun is not hurried; one that waits for its next delivery is
/// tried at once by `flow retry`.
#[derive(Debug, clap::Args)]
pub struct HurryArguments {
    #[command(flatten)]
    lookup: RequestLookup,
}

/// Remember a request, however old it gets, with its files and results
#[derive(Debug, clap::Args)]
pub struct KeepArguments {
    #[command(flatten)]
    lookup: RequestLookup,

    /// Remove it again when its time has come
    #[arg(long)]
    release: bool,
}

impl CancelArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        note(&self.lookup, OperatorRequest::Cancel)
    }
}

impl RetryArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        if let Some(row) = &self.row {
            return retry_row(row, self.lookup.request());
        }
        note(&self.lookup, OperatorRequest::Retry)
    }
}

impl HurryArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        note(&self.lookup, OperatorRequest::Hurry)
    }
}

impl KeepArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        note(&self.lookup, if self.release { OperatorRequest::Release } else { OperatorRequest::Keep })
    }
}

/// The user of this process, for the record.
pub fn who() -> String {
    let name = std::env::var("USER").ok().filter(|name| !name.is_empty());
    let id = rustix::process::getuid().as_raw();
    name.map_or_else(|| format!("user {id}"), |name| format!("user {name} ({id})"))
}

/// Puts parked tokens back into their stages.
fn retry_row(root: &Path, meant: &str) -> Result<CommandExit, CommandError> {
    let failed = CommandError::of(CommandErrorKind::InputOutput);
    let mut stages: Vec<StageFolder> = Vec::new();
    let entries = std::fs::read_dir(root).map_err(|error| {
        let text = format!("could not read the row of directories {}: {error}", root.display());
        CommandError::new(CommandErrorKind::InputOutput, text)
            .hint("--row names the folder with the directories, as --output of `flow run books`")
    })?;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        stages.extend(name.strip_suffix(".failed").map(|stage| StageFolder::new(root, stage)));
    }
    let (mut back, mut left) = (0, 0);
    for stage in &stages {
        for parked in list_parked(stage).map_err(CommandError::of(CommandErrorKind::InputOutput))? {
            let is_barcode = parked.name().is_some_and(|name| name.barcode() == meant);
            if meant != "all" && parked.reason != meant && !is_barcode {
                continue;
            }
            let is_back = retry_parked(stage, &parked).map_err(&failed)?;
            let name = parked.file.to_string_lossy();
            if is_back {
                back += 1;
                print_line(format_args!("{name} waits in {} again", stage.name()))?;
            } else {
                left += 1;
                print_line(format_args!("{name} stays: it is no token, or another has its name"))?;
            }
        }
    }
    if back + left == 0 {
        let text = format!("no parked token of {} is meant by {meant:?}", root.display());
        let failure = CommandError::new(CommandErrorKind::Usage, text);
        return Err(failure.hint("name a barcode, a reason as the names of the files have it, or `all`"));
    }
    Ok(if left == 0 { CommandExit::Done } else { CommandExit::WithErrors })
}

fn note(lookup: &RequestLookup, operator_request: OperatorRequest) -> Result<CommandExit, CommandError> {
    let FoundRequest { state, reader, row } = lookup.find()?;
    note_wish(&reader, &row, operator_request, &who()).map_err(|error| match error {
        WishError::Pointless(why) => {
            CommandError::new(CommandErrorKind::Usage, format!("{} {why}", row.name))
        }
        WishError::Journal(error) => CommandError::of(CommandErrorKind::InputOutput)(error),
    })?;
    let when = match StateFolder::holder(&state) {
        Some(process) => format!("flow (process {process}) sees to it now"),
        None => "no flow is running on this state: the next `flow run` with it sees to it".to_owned(),
    };
    print_line(format_args!("{}: {} is noted; {when}", row.name, operator_request.name()))?;
    Ok(CommandExit::Done)
}
