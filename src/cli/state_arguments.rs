//! The state folder that a command reads. Commands never create one.

use std::path::{Path, PathBuf};

use crate::admission::StateFolder;
use crate::ledger::{DeclaredView, DeclaredViews};

use super::exit::{CommandError, CommandErrorKind};
use super::noted_states::{self, has_journal};
use super::output;
use super::site::SiteArguments;

/// The default of `flow run`, in the folder in which it is started.
pub const STATE: &str = "flow-state";

/// The place of a flow's state.
#[derive(Debug, clap::Args)]
pub struct StateArguments {
    /// The state folder of the flow [default: the site's, else flow-state here, else that of this user's flow]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    #[command(flatten)]
    site: SiteArguments,
}

impl StateArguments {
    /// The state folder: as given, else as the site's file says, else the default one if it has a journal,
    /// else that of the only flow of this user that is running, or has run, in another folder.
    pub fn find(&self) -> Result<PathBuf, CommandError> {
        if let Some(state) = &self.state {
            return Ok(state.clone());
        }
        let of_site = self.site.read()?.and_then(|site| site.general.state.clone());
        if let Some(state) = of_site {
            return Ok(state);
        }
        if has_journal(Path::new(STATE)) {
            return Ok(PathBuf::from(STATE));
        }
        let noted = noted_states::all();
        let is_running = |state: &&PathBuf| StateFolder::holder(state).is_some();
        let running: Vec<PathBuf> = noted.iter().filter(is_running).cloned().collect();
        match if running.is_empty() { noted } else { running }.as_slice() {
            [] => Ok(PathBuf::from(STATE)),
            [one] => {
                output::tell_line(format_args!("state     {}", one.display()));
                Ok(one.clone())
            }
            several => Err(which(several)),
        }
    }

    /// The views that the site's file declares.
    pub fn views(&self) -> Result<Vec<DeclaredView>, CommandError> {
        let site = self.site.read()?;
        let views = site.as_ref().and_then(|site| site.section::<DeclaredViews>());
        Ok(views.map(|views| views.0.clone()).unwrap_or_default())
    }
}

fn which(several: &[PathBuf]) -> CommandError {
    let text = format!("there is no journal in {STATE} here, and there are {} elsewhere", several.len());
    let line = |state: &PathBuf| {
        let running = if StateFolder::holder(state).is_some() { "  flow is running" } else { "" };
        crate::printable::escaped(&format!("  {}{running}", state.display())).into_owned() + "\n"
    };
    let lines: String = several.iter().map(line).collect();
    let error = CommandError::new(CommandErrorKind::Usage, text).details(lines);
    error.hint("nothing was changed; give one of these as --state")
}
