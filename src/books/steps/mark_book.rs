//! `mark-book`: sees that the store has a book, and removes what was needed on the way.

use std::path::Path;

use crate::books::place::BookPlace;
use crate::step::{BuiltIn, Call, Fault, Parameter, Step};
use crate::tokens::StageToken;

use super::upload_book::{STORED, check_stored};

fn step() -> Step {
    BookPlace::step(
        "mark-book",
        2,
        "Checks that the store has a book, and removes its files on the way there.",
    )
    .parameter(Parameter::text("store", "", &[]).required().about("The folder that is the store."))
    .calls(|tokens, call, _| Ok(tokens.into_iter().map(|token| mark(token, call)).collect()))
}

inventory::submit! { BuiltIn(step) }

fn mark(mut token: StageToken, call: &Call) -> Result<StageToken, Fault> {
    check_stored(&token, Path::new(call.text("store")))?;
    BookPlace::of(&token, call)?.remove()?;
    token.locations.retain(|what, _| what == STORED);
    Ok(token)
}
