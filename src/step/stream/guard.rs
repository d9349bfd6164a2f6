//! The guard around a step's own code.

use crate::step::Fault;

/// Calls a function. A panic in it becomes a fault.
pub type GuardFunction = fn(&mut dyn FnMut()) -> Result<(), Fault>;
