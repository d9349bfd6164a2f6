//! `flow pull`: studies of an archive, fetched by the flow that is running.

use std::time::Duration;

use crate::admission::StateFolder;
use crate::dicom::{OrderOutcome, PullOrder};

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::listen::{PullMethod, wanted_texts};
use super::output::print_line;
use super::state_arguments::StateArguments;

/// Let the running flow fetch studies from an archive, with its own nodes and AE title, and answer them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow pull --from archive A-4711
  flow pull --from ORTHANC@127.0.0.1:4242 'PatientID=P1;StudyDate=20260101-' @list.txt")]
pub struct PullArguments {
    /// Study Instance UIDs, accession numbers or queries (Keyword=value;...), or @FILE, one a line
    #[arg(value_name = "STUDY", required = true)]
    studies: Vec<String>,

    /// The archive: a name in the site's file of the running flow, AETITLE@HOST:PORT, or the URL of a DICOMweb service
    #[arg(long, value_name = "NODE")]
    from: String,

    /// How studies travel: on flow's association (get), or on one that the archive opens to flow (move)
    #[arg(long, value_name = "WAY", default_value = "get")]
    by: PullMethod,

    #[command(flatten)]
    state: StateArguments,
}

/// The longest wait for the running flow. It checks for orders twice a second, but not while it is fetching
/// another list.
const WAIT: Duration = Duration::from_secs(3);

impl PullArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        let state = self.state.find()?;
        if !state.is_dir() {
            let failure = CommandError::new(
                CommandErrorKind::InputOutput,
                format!("there is no state folder {}", state.display()),
            );
            return Err(failure.hint("give the --state of the flow that is to fetch"));
        }
        let wanted = wanted_texts(&self.studies)?;
        let (entries, from) = (wanted.len(), self.from);
        let order = PullOrder { from: from.clone(), by: self.by.into(), wanted };
        let handed = order.hand_over(&state.join("inbox"))?;
        let Some(process) = StateFolder::holder(&state) else {
            print_line(format_args!(
                "{entries} from {from}: noted; no flow is running on this state: the next `flow run` that receives \
                 studies with it fetches them"
            ))?;
            return Ok(CommandExit::Done);
        };
        match handed.outcome(WAIT) {
            OrderOutcome::Taken => {
                print_line(format_args!("{entries} from {from}: flow (process {process}) fetches them now"))?;
                Ok(CommandExit::Done)
            }
            OrderOutcome::Waits => {
                print_line(format_args!(
                    "{entries} from {from}: noted; flow (process {process}) fetches them when it has fetched what was \
                     ordered before, if it receives studies"
                ))?;
                Ok(CommandExit::Done)
            }
            OrderOutcome::Refused(reason) => Err(CommandError::new(CommandErrorKind::Usage, reason)
                .hint("names of nodes are those in the site's file of the running flow")),
        }
    }
}
