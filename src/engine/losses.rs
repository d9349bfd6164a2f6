//! The bound on processes that are lost while they run the same thing: it may be what ends them.

use crate::step::Fault;

/// Processes that may be lost in a row while they run a request, or a step of one, and before any step of it has ended.
pub const LOSSES_MAX: u32 = 10;

/// The fault of a request that is no longer run.
pub fn deadly(losses: u32) -> Fault {
    Fault::new(
        format!("{losses} processes were lost while they ran this request, and no step of it finished"),
        "See in their logs why they ended. `flow retry` with the request's name runs it once more.",
    )
}
