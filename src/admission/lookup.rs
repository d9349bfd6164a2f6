//! The requests that a person may mean by a text.

use crate::journal::{JournalError, JournalReader, RequestRow};

use super::SourceTable;

/// Finds the requests that a person may mean: by number or name; or else by a part of the name or the
/// first digits of the id; or else by the subject or what their source knows them by
/// ([`super::Source::lookup_texts`]). In the order of their acceptance.
///
/// # Errors
/// If they cannot be read.
pub fn find_requests(
    reader: &JournalReader,
    sources: &SourceTable,
    text: &str,
) -> Result<Vec<RequestRow>, JournalError> {
    reader.find(text, &|request| sources.lookup_texts(request))
}
