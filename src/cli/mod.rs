//! The command line: parsed to plain values first, then one file per subcommand acts on them.

mod attention;
mod audit;
#[cfg(feature = "books")]
mod backlog;
mod backup;
mod bench;
mod bench_figures;
mod bind;
mod broken;
#[cfg(feature = "chat")]
mod chat_server;
#[cfg(feature = "chat")]
mod chat_token;
pub mod check;
mod check_site;
mod check_verdict;
mod complete;
mod completions;
mod conformance;
#[cfg(feature = "chat")]
mod conversations;
mod customer;
mod destinations;
mod differences;
mod exit;
mod explain;
mod file_access;
mod file_schemas;
pub mod graph;
mod init;
#[cfg(feature = "chat")]
mod init_chat_type;
mod join;
mod listen;
mod lookup;
mod memory;
mod monitor;
mod new_files;
mod noted_states;
mod operator;
mod output;
mod pause;
mod peer;
mod placement_lines;
#[cfg(any(feature = "books", feature = "chat"))]
mod pointless;
mod processes;
mod processor_time;
mod progress;
mod pull;
mod reload;
mod replay;
mod reporter;
mod request_progress;
#[cfg(feature = "books")]
mod row_display;
mod run;
#[cfg(feature = "books")]
mod run_row;
mod run_settings;
mod run_values;
pub mod sample;
mod schema;
mod service_manager;
mod signals;
mod simulate;
mod site;
mod source;
mod sql;
mod state_arguments;
mod status;
mod step;
mod step_folders;
mod step_stream;
mod step_values;
pub mod steps;
mod subject;
#[cfg(feature = "top")]
mod top;
mod torture;
mod truth;
mod version;
mod waiting;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::program::wait_for_stopping;
use crate::site::FileReaders;
use crate::step::StepTable;

use exit::{CommandError, CommandExit};
use output::{LogFormat, stderr, stdout};

/// Runs requests with a lot of data through pure steps, and answers each one exactly once
#[derive(Debug, Parser)]
#[command(name = "flow", version = version::VERSION, after_help = exit::HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: FlowCommand,
}

#[derive(Debug, clap::Subcommand)]
enum FlowCommand {
    Run(Box<run::RunArguments>),
    Join(join::JoinArguments),
    #[cfg(feature = "books")]
    Backlog(backlog::BacklogArguments),
    Status(status::StatusArguments),
    #[cfg(feature = "top")]
    Top(top::TopArguments),
    Sql(sql::SqlArguments),
    Explain(explain::ExplainArguments),
    Replay(replay::ReplayArguments),
    Cancel(operator::CancelArguments),
    Retry(operator::RetryArguments),
    Hurry(operator::HurryArguments),
    Keep(operator::KeepArguments),
    Pause(pause::PauseArguments),
    Resume(pause::ResumeArguments),
    Complete(complete::CompleteArguments),
    Backup(backup::BackupArguments),
    Restore(backup::RestoreArguments),
    Pull(pull::PullArguments),
    Echo(peer::EchoArguments),
    Find(peer::FindArguments),
    Send(peer::SendArguments),
    Conformance(conformance::ConformanceArguments),
    Check(check::CheckArguments),
    Graph(graph::GraphArguments),
    Step(step::StepArguments),
    Steps(steps::StepsArguments),
    Init(init::InitArguments),
    Schema(schema::SchemaArguments),
    Sample(sample::SampleArguments),
    #[cfg(feature = "chat")]
    ChatToken(chat_token::ChatTokenArguments),
    #[cfg(feature = "chat")]
    Conversations(conversations::ConversationsArguments),
    Torture(torture::TortureArguments),
    Bench(bench::BenchArguments),
    Simulate(simulate::SimulateArguments),
    Completions(completions::CompletionsArguments),
    Man(completions::ManArguments),
}

/// Runs the command line of this process with the steps of a table: what `main` does, and what a
/// program with steps of its own does with a larger table.
pub fn main(table: &StepTable) -> ExitCode {
    memory::limit_arenas();
    file_access::restrict(FileReaders::Owner);
    output::escape_panics();
    signals::survive_file_limit();
    let command = CommandLine::parse().command;
    output::start_log(command.log_format());
    if command.has_verdict() {
        output::outlive_reader();
    }
    let ended = command.run(table);
    wait_for_stopping();
    match ended {
        Ok(exit) => exit.into(),
        // What is piped into `head` ends well when that has seen enough.
        Err(failure) if failure.is_closed_output() => CommandExit::Done.into(),
        Err(failure) => {
            output::tell(&failure.lines());
            failure.into()
        }
    }
}

impl FlowCommand {
    fn log_format(&self) -> LogFormat {
        match self {
            FlowCommand::Run(run) => run.log_format(),
            _ => LogFormat::default(),
        }
    }

    /// Whether its exit code is a result, which counts also when nobody reads its output any more.
    fn has_verdict(&self) -> bool {
        matches!(
            self,
            FlowCommand::Check(_)
                | FlowCommand::Replay(_)
                | FlowCommand::Simulate(_)
                | FlowCommand::Torture(_)
        )
    }

    fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        match self {
            FlowCommand::Run(run) => run.run(table),
            FlowCommand::Join(join) => join.run(table),
            #[cfg(feature = "books")]
            FlowCommand::Backlog(backlog) => backlog.run(table),
            FlowCommand::Status(status) => status.run(table),
            #[cfg(feature = "top")]
            FlowCommand::Top(top) => top.run(table),
            FlowCommand::Sql(sql) => sql.run(table),
            FlowCommand::Explain(explain) => explain.run(table),
            FlowCommand::Replay(replay) => replay.run(table),
            FlowCommand::Cancel(cancel) => cancel.run(),
            FlowCommand::Retry(retry) => retry.run(),
            FlowCommand::Hurry(hurry) => hurry.run(),
            FlowCommand::Keep(keep) => keep.run(),
            FlowCommand::Pause(pause) => pause.run(table),
            FlowCommand::Resume(resume) => resume.run(),
            FlowCommand::Complete(complete) => complete.run(),
            FlowCommand::Backup(backup) => backup.run(),
            FlowCommand::Restore(restore) => restore.run(),
            FlowCommand::Pull(pull) => pull.run(),
            FlowCommand::Echo(echo) => echo.run(),
            FlowCommand::Find(find) => find.run(),
            FlowCommand::Send(send) => send.run(),
            FlowCommand::Conformance(conformance) => conformance.run(),
            FlowCommand::Check(check) => Ok(check.run(table, &mut stdout(), &mut stderr())?.into()),
            FlowCommand::Graph(graph) => Ok(graph.run(table, &mut stdout()).map(|()| CommandExit::Done)?),
            FlowCommand::Step(step) => step.run(table),
            FlowCommand::Init(init) => init.run(),
            FlowCommand::Steps(steps) => Ok(steps.run(table, &mut stdout()).map(|()| CommandExit::Done)?),
            FlowCommand::Schema(schema) => schema.run(table),
            #[cfg(feature = "chat")]
            FlowCommand::ChatToken(token) => token.run(),
            #[cfg(feature = "chat")]
            FlowCommand::Conversations(conversations) => conversations.run(),
            FlowCommand::Torture(torture) => torture.run(),
            FlowCommand::Bench(bench) => bench.run(table),
            FlowCommand::Simulate(simulate) => simulate.run(table),
            FlowCommand::Completions(completions) => completions.run(CommandLine::command()),
            FlowCommand::Man(man) => man.run(CommandLine::command()),
            FlowCommand::Sample(sample) => Ok(sample.run().map(|()| CommandExit::Done)?),
        }
    }
}
