//! `flow pause` and `flow resume`: a dataflow, a step or a destination waits as long as an operator wants it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::admission::{PauseRecord, StateFolder, pause_part, resume_part};
use crate::dataflow::Dataflow;
use crate::engine::PausablePart;
use crate::step::StepTable;
use crate::yaml::meant_or_all;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::lookup;
use super::operator::who;
use super::output::print_line;
use super::state_arguments::StateArguments;

/// Let a dataflow, a step or a destination wait until it is resumed
///
/// Requests are still accepted, and none is lost. It holds after a restart, too.
#[derive(Debug, clap::Args)]
pub struct PauseArguments {
    #[command(flatten)]
    part: PartArguments,

    #[command(flatten)]
    state: StateArguments,
}

/// Let a dataflow, a step or a destination go on that was paused
#[derive(Debug, clap::Args)]
pub struct ResumeArguments {
    #[command(flatten)]
    part: PartArguments,

    #[command(flatten)]
    state: StateArguments,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct PartArguments {
    /// Requests that go through this dataflow are not begun; those in work go on
    #[arg(long, value_name = "DATAFLOW")]
    dataflow: Option<String>,

    /// Runs of this step are not begun, and neither are its calls
    #[arg(long, value_name = "DATAFLOW/STEP", value_parser = step)]
    step: Option<PausablePart>,

    /// Nothing is sent to this destination: its name in the site's file, its address, or `output` for the folder of responses
    #[arg(long, value_name = "DESTINATION")]
    destination: Option<String>,
}

impl PartArguments {
    fn part(self) -> PausablePart {
        match (self.dataflow, self.step, self.destination) {
            (Some(dataflow), _, _) => PausablePart::Dataflow(dataflow),
            (None, Some(step), _) => step,
            (None, None, destination) => {
                PausablePart::Destination(destination.expect("one of the three is required"))
            }
        }
    }
}

fn step(text: &str) -> Result<PausablePart, String> {
    let parts = text.split_once('/').map(|(dataflow, step)| (dataflow.to_owned(), step.to_owned()));
    let (dataflow, step) =
        parts.ok_or("write DATAFLOW/STEP as the dataflow calls the step, for example ct-lung/lungs")?;
    Ok(PausablePart::Step { dataflow, step })
}

impl PauseArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let (state, paused) = (self.state.find()?, self.part.part());
        check(&state, &paused, table)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let record = PauseRecord { paused: paused.clone(), since_ms, who: who() };
        let is_new = pause_part(&state, record).map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        told(&state, &paused, if is_new { "paused" } else { "was paused already" })
    }
}

impl ResumeArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        let (state, paused) = (self.state.find()?, self.part.part());
        drop(lookup::open(&state)?);
        match resume_part(&state, &paused).map_err(CommandError::of(CommandErrorKind::InputOutput))? {
            true => told(&state, &paused, "resumed"),
            false => Err(CommandError::new(CommandErrorKind::Usage, format!("{paused} is not paused"))
                .hint("`flow status` shows what is")),
        }
    }
}

fn told(state: &Path, part: &PausablePart, what: &str) -> Result<CommandExit, CommandError> {
    let when = match StateFolder::holder(state) {
        Some(process) => format!("flow (process {process}) sees to it now"),
        None => "no flow is running on this state: the next `flow run` with it sees to it".to_owned(),
    };
    print_line(format_args!("{part}: {what}; {when}"))?;
    Ok(CommandExit::Done)
}

/// Checks that the state folder knows the dataflow, and the step in its last version. Destinations stand in no journal.
fn check(state: &Path, part: &PausablePart, table: &StepTable) -> Result<(), CommandError> {
    let reader = lookup::open(state)?;
    let known = reader.dataflows().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
    let (dataflow, step) = match part {
        PausablePart::Dataflow(dataflow) => (dataflow, None),
        PausablePart::Step { dataflow, step } => (dataflow, Some(step)),
        PausablePart::Destination(_) => return Ok(()),
    };
    let Some((name, text)) = known.iter().rev().find(|(name, _)| name == dataflow) else {
        let text = format!("no flow has run a dataflow {dataflow:?} on this state");
        return Err(unknown(text, meant_or_all(dataflow, known.iter().map(|(name, _)| name.as_str()))));
    };
    // The steps of a program of one's own may not be known here.
    let (Some(step), Ok(read)) = (step, Dataflow::parse(name, text, table)) else { return Ok(()) };
    match read.step(step) {
        Some(_) => Ok(()),
        None => {
            let text = format!("the dataflow {dataflow} has no step {step:?}");
            Err(unknown(text, meant_or_all(step, read.step_names())))
        }
    }
}

fn unknown(text: String, hint: Option<String>) -> CommandError {
    let error = CommandError::new(CommandErrorKind::Usage, text);
    match hint {
        Some(hint) => error.hint(&hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_step_is_one() {
        let said = step("lungs").expect_err("it names no dataflow");
        let (_, example) = said.split_once("for example ").expect("it has an example");
        let PausablePart::Step { dataflow, step } = step(example).expect("it is one") else {
            panic!("{example}")
        };
        let dataflow = Dataflow::load(&dataflow, &StepTable::built_in()).expect("flow carries it");
        assert!(dataflow.step(&step).is_some(), "{example}");
    }
}
