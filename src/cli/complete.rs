//! `flow complete`: an operator says that a study that is being received is complete.

use std::path::PathBuf;

use crate::admission::StateFolder;
use crate::dicom::{self, WaitingStudy};
use crate::printable::{counted, escaped};

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::lookup;
use super::operator::who;
use super::output::{print_line, tell_line};
use super::state_arguments::StateArguments;

/// Say that a study that is being received is complete: flow does not wait for more of it
#[derive(Debug, clap::Args)]
pub struct CompleteArguments {
    /// The study: its Study Instance UID, patient ID or accession number; without one, those that wait are listed
    #[arg(value_name = "STUDY")]
    study: Option<String>,

    #[command(flatten)]
    state: StateArguments,
}

impl CompleteArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        let state = self.state.find()?;
        let inbox = state.join("inbox");
        let rows =
            lookup::open(&state)?.requests().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let known = rows.into_iter().flat_map(|row| row.claims).map(PathBuf::from).collect();
        let waiting = dicom::waiting(&inbox, &known)?;
        let Some(study) = &self.study else {
            waiting.iter().try_for_each(|one| print_line(told(one)))?;
            if waiting.is_empty() {
                tell_line("no study is being received");
            }
            return Ok(CommandExit::Done);
        };
        let meant = waiting.iter().filter(|one| one.is_called(study)).cloned().collect();
        let place = format!("study {study:?} is being received");
        let one = lookup::the_one(study, &place, meant, || waiting, |one| escaped(&told(one)).into_owned())?;
        one.complete(&who())?;
        let when = match StateFolder::holder(&state) {
            Some(process) => format!("flow (process {process}) takes it up now"),
            None => "no flow is running on this state: the next `flow run` with it takes it up".to_owned(),
        };
        print_line(format_args!("{}: complete; {when}", told(&one)))?;
        Ok(CommandExit::Done)
    }
}

fn told(one: &WaitingStudy) -> String {
    format!("{}  {}", one.study_instance_uid, counted(one.instances, "instance"))
}
