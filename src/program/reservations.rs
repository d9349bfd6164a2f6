//! The reservations of a program: the file `reservations.json` in `out`, if it writes one.
//!
//! ```json
//! [{"code": "low_dose", "text": "the dose is 0.4 mGy, less than 1 mGy: noise makes low densities"}]
//! ```

use serde::Deserialize;

use crate::printable::escaped;
use crate::step::{ResponseFiles, StepReservations};

pub const RESERVATIONS_FILE: &str = "reservations.json";

const FILE_BYTES_MOST: usize = 64 << 10;
const RESERVATIONS_MOST: usize = 50;
const CODE_LETTERS_MOST: usize = 64;
const TEXT_LETTERS_MOST: usize = 500;

/// Why the file cannot be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramReservationError {
    #[error("it has {0} bytes, more than {FILE_BYTES_MOST}")]
    TooLarge(usize),
    #[error("it is no list of objects with \"code\" and \"text\": {0}")]
    Form(String),
    #[error("it has {0} reservations, more than {RESERVATIONS_MOST}")]
    TooMany(usize),
    #[error("the code {0:?} is not 1 to {CODE_LETTERS_MOST} small letters, digits and underscores")]
    Code(String),
    #[error("the text of {0:?} is not 1 to {TEXT_LETTERS_MOST} letters")]
    Text(String),
}

/// A reservation as a program writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenReservation {
    code: String,
    text: String,
}

/// Takes the file out of a program's results, and gives the reservations in it.
///
/// # Errors
/// If the file is not in its form.
pub fn taken_from(files: &mut ResponseFiles) -> Result<StepReservations, ProgramReservationError> {
    let Some(index) = files.0.iter().position(|file| file.name == RESERVATIONS_FILE) else {
        return Ok(StepReservations::default());
    };
    let file = files.0.remove(index);
    if file.bytes.len() > FILE_BYTES_MOST {
        return Err(ProgramReservationError::TooLarge(file.bytes.len()));
    }
    checked(&file.bytes)
}

/// The reservations in a JSON text.
///
/// # Errors
/// If the text is not in its form.
pub fn checked(json: &[u8]) -> Result<StepReservations, ProgramReservationError> {
    let written: Vec<WrittenReservation> = serde_json::from_slice(json)
        .map_err(|error| ProgramReservationError::Form(escaped(&error.to_string()).into_owned()))?;
    if written.len() > RESERVATIONS_MOST {
        return Err(ProgramReservationError::TooMany(written.len()));
    }
    let mut reservations = StepReservations::default();
    for WrittenReservation { code, text } in written {
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if !(1..=CODE_LETTERS_MOST).contains(&code.len()) || !code.chars().all(fits) {
            return Err(ProgramReservationError::Code(code.chars().take(CODE_LETTERS_MOST).collect()));
        }
        let text = text.trim();
        if !(1..=TEXT_LETTERS_MOST).contains(&text.chars().count()) {
            return Err(ProgramReservationError::Text(code));
        }
        reservations.say(code, escaped(text.trim_end_matches('.')));
    }
    Ok(reservations)
}
