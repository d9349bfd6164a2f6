//! `flow cancel`, `flow retry` and `flow keep`: what an operator asks of one request.
//!
//! The wish is noted in the journal. A running flow sees it within a second; a stopped one when it
//! starts.

use crate::journal::{State, Wish};

use super::exit::{Exit, Failure, Kind};
use super::lookup::Lookup;
use super::state;

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
    if let Some(pointless) = pointless(wish, row.state) {
        return Err(Failure::new(Kind::Usage, format!("{} {pointless}", row.name)));
    }
    reader.wish(wish, row.number).map_err(Failure::of(Kind::InputOutput))?;
    let when = match state::holder(lookup.state()) {
        Some(process) => format!("flow (process {process}) sees to it now"),
        None => "no flow is running on this state: the next `flow run` with it sees to it".to_owned(),
    };
    println!("{}: {} is noted; {when}", row.name, wish.name());
    Ok(Exit::Done)
}

/// Why a wish cannot come true.
fn pointless(wish: Wish, state: State) -> Option<&'static str> {
    match (wish, state) {
        (_, State::Removed) => Some("is being removed"),
        (Wish::Cancel, State::Answered) => Some("is answered: there is nothing to cancel"),
        (Wish::Cancel, State::Responded | State::Undelivered) => {
            Some("has its response, which is on its way: there is nothing to cancel")
        }
        (Wish::Retry, State::Accepted) => Some("is still under way"),
        _ => None,
    }
}
