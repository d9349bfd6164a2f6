//! `mark-book`: sees that the store has a book, and removes what was needed on the way.

use crate::books::book_store::BookStore;
use crate::books::place::BookPlace;
use crate::calls::BucketLimits;
use crate::step::{BuiltIn, Call, CallAttempt, CallFault, Step};
use crate::tokens::StageToken;

use super::upload_book::{STORED, check_stored, each};

fn step() -> Step {
    let step = BookPlace::step(
        "mark-book",
        2,
        "Checks that the store has a book, and removes its files on the way there.",
    );
    BookStore::declare(step).calls(|tokens, call, attempt| {
        tokens.into_iter().map(|token| each(mark(token, call, attempt))).collect()
    })
}

inventory::submit! { BuiltIn(step) }

fn mark(mut token: StageToken, call: &Call, attempt: &CallAttempt) -> Result<StageToken, CallFault> {
    let limits = BucketLimits::new(attempt.timeout, call.token);
    check_stored(&token, &BookStore::of(call)?, limits)?;
    BookPlace::of(&token, call)?.remove()?;
    token.locations.retain(|what, _| what == STORED);
    Ok(token)
}
