//! What stands on both sides of the engine: where requests come from, and where responses go.
//!
//! | file | what |
//! |---|---|
//! | `destination` | the trait [`Destination`]: one kind of place where responses go |
//! | `delivery` | what became of a response at one destination, part by part |

mod delivery;
mod destination;

pub use delivery::{Delivery, FileDelivery, FileState};
pub use destination::{
    DeliveryTrouble, Destination, DestinationReach, OutgoingResponse, PartAnswer, PartFinding, PartOutcome,
    TroubleKind,
};
