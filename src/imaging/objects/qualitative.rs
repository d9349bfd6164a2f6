//! The verdict and the reservations of a report as qualitative evaluations (PS3.16 TID 1500).
//!
//! A public code says whether the images meet the standard for the measurements, a private one says the
//! verdict. Each reservation is a coded quality finding, with its sentence as a property.

use super::code::{CodedConcept, ConceptName, codes};
use super::content::{ContentItem, ContentRelationship};
use crate::step::{StepReservation, StepReservations};

/// Reservations for which a public code is as exact as the private one.
const PUBLIC: [(&str, ConceptName); 4] = [
    ("contrast_agent", codes::CONTRAST_AGENT),
    ("field_of_view", codes::COVERAGE_INCOMPLETE),
    ("reach_end_slice", codes::COVERAGE_INCOMPLETE),
    ("slice_gaps", codes::COVERAGE_INCOMPLETE),
];
/// The longest value of a code (VR SH), and the longest meaning (VR LO).
const VALUE_LETTERS: usize = 16;
const MEANING_LETTERS: usize = 64;

/// The container with the verdict and the reservations.
pub fn qualitative_evaluations(reservations: &StepReservations) -> ContentItem {
    let (verdict, quality) = match reservations.0.is_empty() {
        true => (codes::COMPLETE, codes::QUALITY_MET),
        false => (codes::RESERVED, codes::QUALITY_NOT_MET),
    };
    ContentItem::container(codes::QUALITATIVE_EVALUATIONS)
        .contains(ContentItem::code(codes::VERDICT, verdict))
        .contains(ContentItem::code(codes::QUALITY_ASSESSMENT, quality))
        .contains_all(reservations.0.iter().map(finding))
}

fn finding(StepReservation { code, text }: &StepReservation) -> ContentItem {
    let public = PUBLIC.iter().find(|(known, _)| known == code);
    let concept = public.map_or_else(|| private(code), |(_, name)| CodedConcept::from(*name));
    ContentItem::code(codes::QUALITY_FINDING, concept)
        .with(ContentRelationship::HasProperties, ContentItem::text(codes::COMMENT, text))
}

/// The code of a reservation, with its words as the meaning.
fn private(code: &str) -> CodedConcept {
    let value: String = code.chars().take(VALUE_LETTERS).collect();
    let words: String = code.replace('_', " ").chars().take(MEANING_LETTERS).collect();
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    CodedConcept::private(value, first.into_iter().chain(letters).collect())
}
