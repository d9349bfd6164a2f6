//! `choose-books`: the beginning of the row. The orchestrator of `flow run` makes the tokens, as the parameters say;
//! in a dataflow that is run as a whole, the tokens are the request's items.

use crate::books::inventory::check_inventory;
use crate::step::{BuiltIn, Fault, Parameter, Request, Step};
use crate::tokens::StageToken;

fn step() -> Step {
    let number = Parameter::number;
    Step::new("choose-books", 1, "Makes tokens of the books of an inventory, so many at a time.")
        .takes::<Request>("request")
        .gives_many::<StageToken>("token")
        .parameter(
            Parameter::text("to", "", &[]).required().about("The directory in which the tokens wait."),
        )
        .parameter(
            Parameter::text("inventory", "", &[])
                .about(
                    "The list of all books, a barcode on each line: a URL or a file. Without it, barcodes are given on the command line.",
                )
                .checked(check_inventory),
        )
        .parameter(
            number("refresh_h", 24.0, 0.0, 100_000.0, "h").about("The age at which the list is fetched again."),
        )
        .parameter(
            number("in_flight", 200.0, 1.0, 1_000_000.0, "").about("Books that are under way at the same time."),
        )
        .runs_many(|call| {
            let request = call.shared::<Request>("request");
            let count = request.items.len();
            Ok((0..count).map(move |index| Ok::<_, Fault>(StageToken::of(&request.items[index].name))))
        })
}

inventory::submit! { BuiltIn(step) }
