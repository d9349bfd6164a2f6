//! `flow cancel`, `flow retry` and `flow keep`: what an operator asks of one request.
//!
//! The wish is noted in the journal. A running flow sees it within a second; a stopped one when it
//! starts.

use crate::admission::{StateFolder, WishError, note_wish};
use crate::journal::Wish;

use super::exit::{Exit, Failure, Kind};
use super::lookup::Lookup;

/// End a request; its sender gets an error response that says so
#[derive(Debug, clap::Args)]
pub struct Cancel {
    #[command(flatten)]
    lookup: Lookup,
}

/// Run again what failed of a request, or deliver again what is not delivered
///
/// Steps that are done are not run again. A request that is complete is delivered again, which
/// changes nothing where it is already. One that waits for its next try is tried at once.
#[derive(Debug, clap::Args)]
pub struct Retry {
    #[command(flatten)]
    lookup: Lookup,
}

/// Remember a request, however old it gets, with its files and results
#[derive(Debug, clap::Args)]
pub struct Keep {
    #[command(flatten)]
    lookup: Lookup,

    /// Remove it again when its time has come
    #[arg(long)]
    release: bool,
}

impl Cancel {
    pub fn run(self) -> Result<Exit, Failure> {
        note(&self.lookup, Wish::Cancel)
    }
}

impl Retry {
    pub fn run(self) -> Result<Exit, Failure> {
        note(&self.lookup, Wish::Retry)
    }
}

impl Keep {
    pub fn run(self) -> Result<Exit, Failure> {
        note(&self.lookup, if self.release { Wish::Release } else { Wish::Keep })
    }
}

fn note(lookup: &Lookup, wish: Wish) -> Result<Exit, Failure> {
    let (reader, row) = lookup.find()?;
    note_wish(&reader, &row, wish).map_err(|error| match error {
        WishError::Pointless(why) => Failure::new(Kind::Usage, format!("{} {why}", row.name)),
        WishError::Journal(error) => Failure::of(Kind::InputOutput)(error),
    })?;
    let when = match StateFolder::holder(lookup.state()) {
        Some(process) => format!("flow (process {process}) sees to it now"),
        None => "no flow is running on this state: the next `flow run` with it sees to it".to_owned(),
    };
    println!("{}: {} is noted; {when}", row.name, wish.name());
    Ok(Exit::Done)
}
