//! Texts as numbers, so that rows are small and are copied.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The number of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NameId(u32);

/// Texts by their numbers. It only grows: dataflows, steps, sources, destinations and general reasons are few.
#[derive(Clone, Debug, Default)]
pub struct NameTable {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, NameId>,
    reasons: usize,
}

/// The most texts of reasons. Peers have a say in these.
const REASONS_MAX: usize = 2_000;

/// The text of all further reasons.
const OTHER_REASONS: &str = "other reasons";

impl NameTable {
    /// The number of a text.
    pub fn id(&mut self, text: &str) -> NameId {
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        let (id, text) =
            (NameId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX)), Arc::<str>::from(text));
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, id);
        id
    }

    /// The number of the text of a reason. Only so many are told apart.
    pub fn reason(&mut self, text: &str) -> NameId {
        if self.numbers.contains_key(text) {
            return self.id(text);
        }
        if self.reasons >= REASONS_MAX {
            return self.id(OTHER_REASONS);
        }
        self.reasons += 1;
        self.id(text)
    }

    /// The number of texts.
    pub fn count(&self) -> usize {
        self.texts.len()
    }

    /// The text of a number.
    pub fn text(&self, id: NameId) -> &str {
        usize::try_from(id.0).ok().and_then(|index| self.texts.get(index)).map_or("", |text| &**text)
    }
}

impl NameId {
    /// The number as a key of differential collections.
    pub(super) fn key(self) -> u64 {
        self.0.into()
    }

    /// The number of this key.
    pub(super) fn of_key(key: u64) -> NameId {
        NameId(u32::try_from(key).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ever_new_reasons_do_not_let_the_table_grow() {
        let mut names = NameTable::default();
        (0..10 * REASONS_MAX).for_each(|number| _ = names.reason(&format!("hostile {number}")));
        assert_eq!(names.count(), REASONS_MAX + 1);
        let (known, other) = (names.reason("hostile 7"), names.reason("one more"));
        assert_eq!([names.text(known), names.text(other)], ["hostile 7", OTHER_REASONS]);
        let dataflow = names.id("dataflow");
        assert_eq!(names.text(dataflow), "dataflow", "names of a site are not bounded");
    }
}
