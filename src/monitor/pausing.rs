//! Pausing and resuming parts from the page: `POST /api/pause?dataflow=NAME[&step=NAME]`, or `?destination=NAME`.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::admission::{PauseRecord, pause_part, resume_part};
use crate::engine::PausablePart;
use crate::ledger::{DestinationSummary, LedgerSnapshot};

/// The part that these parameters name.
pub fn named_part(
    dataflow: Option<String>,
    step: Option<String>,
    destination: Option<String>,
) -> Option<PausablePart> {
    match (dataflow, step, destination) {
        (Some(dataflow), Some(step), None) => Some(PausablePart::Step { dataflow, step }),
        (Some(dataflow), None, None) => Some(PausablePart::Dataflow(dataflow)),
        (None, None, Some(destination)) => Some(PausablePart::Destination(destination)),
        _ => None,
    }
}

/// Whether the views or the destinations on this machine name the part: what is not there cannot be paused by mistake.
pub fn is_known(part: &PausablePart, views: &LedgerSnapshot, local: &[DestinationSummary]) -> bool {
    match part {
        PausablePart::Dataflow(name) => {
            views.sources.iter().any(|one| one.dataflow == *name)
                || views.standing.iter().any(|one| one.dataflow == *name)
        }
        PausablePart::Step { dataflow, step } => {
            views.steps.iter().any(|one| one.dataflow == *dataflow && one.step == *step)
        }
        PausablePart::Destination(name) => {
            views.destinations.iter().chain(local).any(|one| one.name == *name)
        }
    }
}

/// Pauses or resumes the part. Gives whether that changed anything.
///
/// # Errors
/// If the file of pauses cannot be read or written.
pub fn change(state: &Path, action: PauseAction, part: PausablePart, who: String) -> io::Result<bool> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    match action {
        PauseAction::Pause => pause_part(state, PauseRecord { paused: part, since_ms, who }),
        PauseAction::Resume => resume_part(state, &part),
    }
}

/// What is done to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseAction {
    Pause,
    Resume,
}

impl PauseAction {
    /// The action of a path.
    pub fn of(path: &str) -> Option<PauseAction> {
        match path {
            "/api/pause" => Some(PauseAction::Pause),
            "/api/resume" => Some(PauseAction::Resume),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            PauseAction::Pause => "pause",
            PauseAction::Resume => "resume",
        }
    }
}
