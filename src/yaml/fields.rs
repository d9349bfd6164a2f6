//! Reading maps with known keys, and single values of them.

use std::collections::BTreeMap;

use super::collector::{PlacedValue, ProblemCollector, SourcePlace};
use super::hint;
use super::tree::{YamlEntry, YamlShape, YamlTree};

/// The entries of a map that takes certain keys only.
pub(crate) struct MapFields {
    /// The name of the map in messages: `the step "lungs"`.
    what: String,
    /// The place at which a missing key is reported; `None` if there is no map.
    place: Option<SourcePlace>,
    entries: Vec<YamlEntry>,
    /// Known keys that are similar to unknown ones.
    misspelt: Vec<&'static str>,
}

impl MapFields {
    /// Reads a map. Notes a problem if it is not a map, and for keys that are unknown or occur twice.
    pub fn read(
        tree: YamlTree,
        what: impl Into<String>,
        known: &[&'static str],
        collector: &mut ProblemCollector,
    ) -> MapFields {
        let (what, place) = (what.into(), tree.place);
        let Some(entries) = entries(tree, &what, collector) else {
            return MapFields { what, place: None, entries: Vec::new(), misspelt: Vec::new() };
        };
        let mut misspelt = Vec::new();
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.value.as_str())) {
            misspelt.extend(hint::nearest(&key.value, known.iter().copied()));
            let message = format!("{what} has no key \"{}\"", key.value);
            collector.add(key.place, message).hint(hint::meant_or_all(&key.value, known.iter().copied()));
        }
        MapFields { what, place: Some(place), entries, misspelt }
    }

    /// Sets the place at which a missing key is reported; otherwise it is that of the map.
    pub fn at(mut self, place: SourcePlace) -> MapFields {
        self.place = self.place.and(Some(place));
        self
    }

    /// Whether a missing key is a problem: not if there is no map, and not if the key is misspelt, which was
    /// noted already.
    pub fn lacks(&self, key: &str) -> bool {
        self.place.is_some() && !self.misspelt.contains(&key)
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.value == key)
    }

    pub fn take(&mut self, key: &str) -> Option<YamlEntry> {
        let index = self.entries.iter().position(|(name, _)| name.value == key)?;
        Some(self.entries.swap_remove(index))
    }

    pub fn take_required(&mut self, key: &str, collector: &mut ProblemCollector) -> Option<YamlEntry> {
        let found = self.take(key);
        let lacking = found.is_none() && self.lacks(key);
        if let Some(place) = self.place.filter(|_| lacking) {
            collector.add(place, format!("{} lacks the key \"{key}\"", self.what));
        }
        found
    }
}

/// The entries of a map with any keys, each once.
pub(crate) fn entries(
    tree: YamlTree,
    what: &str,
    collector: &mut ProblemCollector,
) -> Option<Vec<YamlEntry>> {
    let YamlShape::Map(entries) = tree.value else {
        collector.add(tree.place, format!("{what} is {}, not a map of keys and values", tree.value.name()));
        return None;
    };
    let mut kept: Vec<YamlEntry> = Vec::new();
    // The lines of the keys: a map may have a hundred thousand.
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for (key, value) in entries {
        match lines.get(&key.value) {
            None => {
                lines.insert(key.value.clone(), key.place.line);
                kept.push((key, value));
            }
            Some(line) => {
                let message = format!("\"{}\" stands here a second time", key.value);
                let hint = format!("the first is on line {line}; keep one");
                collector.add(key.place, message).hint(hint);
            }
        }
    }
    Some(kept)
}

/// A single value, as it is written.
pub(crate) fn text(
    tree: YamlTree,
    what: &str,
    collector: &mut ProblemCollector,
) -> Option<PlacedValue<String>> {
    match tree.value {
        YamlShape::Scalar(value, _) => Some(PlacedValue { place: tree.place, value }),
        other => {
            collector.add(tree.place, format!("{what} is {}, not a single value", other.name()));
            None
        }
    }
}

/// A single value as `read` reads it. If it cannot, `takes` says in the problem which values are valid.
pub(crate) fn value<T>(
    tree: YamlTree,
    what: &str,
    takes: &str,
    hint: &str,
    read: impl Fn(&str) -> Option<T>,
    collector: &mut ProblemCollector,
) -> Option<T> {
    let written = text(tree, what, collector)?;
    let value = read(&written.value);
    if value.is_none() {
        let message = format!("{what} is {takes}, not \"{}\"", written.value);
        collector.add(written.place, message).hint(hint.to_owned());
    }
    value
}

pub(crate) fn list(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<Vec<YamlTree>> {
    match tree.value {
        YamlShape::List(list) => Some(list),
        other => {
            collector
                .add(tree.place, format!("{what} is {}, not a list", other.name()))
                .hint("write it in brackets: [first, second]".to_owned());
            None
        }
    }
}

/// `true` or `false`.
pub(crate) fn flag(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// A finite number.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
