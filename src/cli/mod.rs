//! The command line: parsed to plain values first, then one file per subcommand acts on them.

mod audit;
mod bench;
pub mod check;
mod check_site;
mod complete;
mod conformance;
mod destinations;
mod differences;
mod exit;
mod explain;
pub mod graph;
mod listen;
mod lookup;
mod memory;
mod peer;
mod processes;
mod progress;
mod replay;
mod run;
mod run_settings;
pub mod sample;
mod site;
mod source;
mod status;
mod step_folders;
pub mod steps;
mod subject;
mod teller;
mod truth;
mod waiting;
mod wish;

use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;

use crate::step::Table;

use exit::{Exit, Failure};

/// Runs requests with a lot of data through pure steps, and answers each one exactly once
#[derive(Debug, Parser)]
#[command(name = "flow", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Status(status::Args),
    Explain(explain::Args),
    Replay(replay::Args),
    Cancel(wish::Cancel),
    Retry(wish::Retry),
    Keep(wish::Keep),
    Complete(complete::Complete),
    Echo(peer::Echo),
    Find(peer::Find),
    Send(peer::Send),
    Conformance(conformance::Conformance),
    Check(check::Args),
    Graph(graph::Args),
    Steps(steps::Args),
    Sample(sample::Sample),
    Bench(bench::Args),
}

/// Runs the command line of this process with the steps of a table: what `main` does, and what a
/// program with steps of its own does with a larger table.
pub fn main(table: &Table) -> ExitCode {
    log_to_stderr();
    match Cli::parse().command.run(table) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("flow: {failure}");
            failure.into()
        }
    }
}

impl Command {
    fn run(self, table: &Table) -> Result<Exit, Failure> {
        match self {
            Command::Run(run) => run.run(table),
            Command::Status(status) => status.run(table),
            Command::Explain(explain) => explain.run(table),
            Command::Replay(replay) => replay.run(table),
            Command::Cancel(cancel) => cancel.run(),
            Command::Retry(retry) => retry.run(),
            Command::Keep(keep) => keep.run(),
            Command::Complete(complete) => complete.run(),
            Command::Echo(echo) => echo.run(),
            Command::Find(find) => find.run(),
            Command::Send(send) => send.run(),
            Command::Conformance(conformance) => conformance.run(),
            Command::Check(check) => Ok(check.run(table, &mut stdout(), &mut stderr())?.into()),
            Command::Graph(graph) => Ok(graph.run(table, &mut stdout()).map(|()| Exit::Done)?),
            Command::Steps(steps) => Ok(steps.run(table, &mut stdout()).map(|()| Exit::Done)?),
            Command::Bench(bench) => bench.run(table),
            Command::Sample(sample) => Ok(sample.run().map(|()| Exit::Done)?),
        }
    }
}

/// Warnings and worse, unless `RUST_LOG` asks for more or less.
fn log_to_stderr() {
    let level = std::env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::WARN))
        .with_writer(stderr)
        .with_target(false)
        .with_ansi(stderr().is_terminal())
        // Else it would panic where the log cannot be written.
        .log_internal_errors(false)
        .init();
}
