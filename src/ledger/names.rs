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
}

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
