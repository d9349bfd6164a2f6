//! Dataflows and rules that take the place of those in force, while requests come in.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use super::{Admission, AdmissionEvent, DataflowSelector};

/// The dataflows and rules that were read last and are not in force yet. Given by one thread, and taken over
/// by another within a second.
#[derive(Default)]
pub struct DataflowUpdates(Mutex<Option<DataflowSelector>>);

impl DataflowUpdates {
    /// Gives dataflows and rules, for requests that are accepted from now on. They take the place of earlier
    /// ones that were not taken over yet.
    pub fn give(&self, new: DataflowSelector) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
    }

    pub(super) fn take(&self) -> Option<DataflowSelector> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Admission<'_> {
    /// Takes over new dataflows and rules, all or none, and gives whether it could. An accepted request stays with
    /// the version of its dataflow.
    pub fn adopt(&self, new: &DataflowSelector) -> bool {
        let added = new.all().try_for_each(|dataflow| -> Result<(), Box<dyn Error>> {
            // A request under it can be run again as it was, also by a later process.
            self.journal.remember(dataflow.digest(), dataflow.name(), dataflow.text())?;
            Ok(self.queue.add(&dataflow)?)
        });
        match added {
            Ok(()) => {
                self.dataflows.replace(new);
                self.tell(&AdmissionEvent::DataflowsReplaced { dataflows: &self.dataflows.dataflows() });
                true
            }
            Err(error) => {
                self.tell(&AdmissionEvent::DataflowsKept { error: &*error });
                false
            }
        }
    }
}
