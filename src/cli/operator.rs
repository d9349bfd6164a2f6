//! `flow cancel`, `flow retry` and `flow keep`: requests of an operator about one request.
//!
//! The operator request is recorded in the journal. A running flow carries it out within a second, a stopped
//! one when it starts.

use crate::admission::{StateFolder, WishError, note_wish};
use crate::journal::OperatorRequest;

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
#[derive(Debug, clap::Args)]
pub struct RetryArguments {
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
        note(&self.lookup, OperatorRequest::Retry)
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
