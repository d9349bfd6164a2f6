//! The destinations on this machine, for whoever shows how they stand.

use std::sync::Weak;

use super::local_state::LocalDestinationState;
use super::queue::QueueShared;

/// A view of the destinations on this machine, which does not hold up the end of the outbox.
#[derive(Clone, Debug, Default)]
pub struct LocalDestinations(pub(super) Vec<Weak<QueueShared>>);

impl LocalDestinations {
    /// Their states now; none after the end of the outbox.
    pub fn states(&self) -> Vec<LocalDestinationState> {
        self.0.iter().filter_map(Weak::upgrade).map(|queue| queue.local_state()).collect()
    }
}
