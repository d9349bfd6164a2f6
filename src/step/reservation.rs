//! Reservations: limits of what the results of a request mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Payload, StepOutputs};

/// One limit of what the results mean. A response with any is not `complete` but `complete, with reservations`.
///
/// A remark is for information and is no reservation; a step that cannot do its work returns a
/// [`Fault`](super::Fault).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepReservation {
    /// A stable word for programs, for example `thick_slices`: letters, digits and underscores.
    pub code: String,
    /// One sentence for a person without a final full stop: the number found, the limit, and what both mean
    /// for the results.
    pub text: String,
}

/// The reservations of a step: the type of any output that makes the verdict `complete, with reservations`.
///
/// A step says them by declaring an output of this type. The output can also be wired to other steps, for
/// example to those that write the results.
///
/// ```
/// use flow::step::{Request, Step, StepOutputs, StepReservation, StepReservations};
///
/// let step = Step::new("check-request", 1, "Says when a request has few items.")
///     .takes::<Request>("request")
///     .gives::<StepReservations>("reservations")
///     .cheap()
///     .runs(|call| {
///         let items = call.input::<Request>("request").items.len();
///         let mut reservations = StepReservations::default();
///         if items < 10 {
///             reservations.say("few_items", format!("{items} items, fewer than 10: the mean is uncertain"));
///         }
///         Ok(StepOutputs::one("reservations", reservations))
///     });
/// assert_eq!(step.declaration.outputs[0].kind, "reservations");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReservations(pub Vec<StepReservation>);

impl StepReservations {
    /// Adds a reservation.
    pub fn say(&mut self, code: impl Into<String>, text: impl Into<String>) {
        self.0.push(StepReservation { code: code.into(), text: text.into() });
    }

    /// The reservations in all outputs of a run, in the order of the outputs.
    pub fn among(outputs: &StepOutputs) -> Vec<StepReservation> {
        let given = outputs.iter().filter_map(|(_, value)| value.get::<StepReservations>());
        given.flat_map(|reservations| reservations.0.iter().cloned()).collect()
    }
}

impl Payload for StepReservations {
    const TYPE: &'static str = "reservations";
}
