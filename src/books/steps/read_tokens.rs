//! `read-tokens`: makes a stream of the request's items, each a token.

use crate::step::{BuiltIn, Fault, FaultKind, Item, Request, Step};
use crate::tokens::StageToken;

fn step() -> Step {
    Step::new("read-tokens", 1, "Reads each item of the request as a token.")
        .takes::<Request>("request")
        .gives_many::<StageToken>("tokens")
        .runs_many(|call| {
            let request = call.shared::<Request>("request");
            let count = request.items.len();
            Ok((0..count).map(move |index| read(&request.items[index])))
        })
}

inventory::submit! { BuiltIn(step) }

fn read(item: &Item) -> Result<StageToken, Fault> {
    let bytes = item.open().map_err(|error| {
        let reason = format!("unreadable: {error}");
        Fault::of(FaultKind::Storage, reason, "See to the disk, and run the token again.")
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Fault::new(format!("not JSON: {error}"), "Correct the token, and run it again."))
}
