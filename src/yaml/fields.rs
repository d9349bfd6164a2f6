//! Access to maps with known keys, and to scalars.

use super::collector::{Collector, Place, Placed};
use super::hint;
use super::tree::{Entry, Shape, Tree};

/// The entries of a map that takes certain keys only.
pub(crate) struct Fields {
    /// The name of the map in messages: `the step "lungs"`.
    what: String,
    /// The position to report missing keys at; `None` if the value was no map.
    place: Option<Place>,
    entries: Vec<Entry>,
    /// Known keys for which a misspelt key was found.
    misspelt: Vec<&'static str>,
}

impl Fields {
    /// Reads a map; reports values that are no map, and keys that are repeated or unknown.
    pub fn read(
        tree: Tree,
        what: impl Into<String>,
        known: &[&'static str],
        collector: &mut Collector,
    ) -> Fields {
        let (what, place) = (what.into(), tree.place);
        let Some(entries) = entries(tree, &what, collector) else {
            return Fields { what, place: None, entries: Vec::new(), misspelt: Vec::new() };
        };
        let mut misspelt = Vec::new();
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.value.as_str())) {
            misspelt.extend(hint::nearest(&key.value, known.iter().copied()));
            let message = format!("{what} has no key \"{}\"", key.value);
            collector.add(key.place, message).hint(hint::meant_or_all(&key.value, known.iter().copied()));
        }
        Fields { what, place: Some(place), entries, misspelt }
    }

    /// Sets the position to report missing keys at; the default is the first key of the map.
    pub fn at(mut self, place: Place) -> Fields {
        self.place = self.place.and(Some(place));
        self
    }

    /// Whether an absent key has to be reported: no if the value was no map or the key was misspelt, since
    /// both have been reported already.
    pub fn lacks(&self, key: &str) -> bool {
        self.place.is_some() && !self.misspelt.contains(&key)
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.value == key)
    }

    pub fn take(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|(name, _)| name.value == key)?;
        Some(self.entries.swap_remove(index))
    }

    pub fn take_required(&mut self, key: &str, collector: &mut Collector) -> Option<Entry> {
        let found = self.take(key);
        let lacking = found.is_none() && self.lacks(key);
        if let Some(place) = self.place.filter(|_| lacking) {
            collector.add(place, format!("{} lacks the key \"{key}\"", self.what));
        }
        found
    }
}

/// The entries of a map with arbitrary keys; repeated keys are reported.
pub(crate) fn entries(tree: Tree, what: &str, collector: &mut Collector) -> Option<Vec<Entry>> {
    let Shape::Map(entries) = tree.value else {
        collector.add(tree.place, format!("{what} is {}, not a map of keys and values", tree.value.name()));
        return None;
    };
    let mut kept: Vec<Entry> = Vec::new();
    for (key, value) in entries {
        match kept.iter().find(|(other, _)| other.value == key.value) {
            None => kept.push((key, value)),
            Some((first, _)) => {
                let message = format!("\"{}\" stands here a second time", key.value);
                let hint = format!("the first is on line {}; keep one", first.place.line);
                collector.add(key.place, message).hint(hint);
            }
        }
    }
    Some(kept)
}

/// The text of a scalar.
pub(crate) fn text(tree: Tree, what: &str, collector: &mut Collector) -> Option<Placed<String>> {
    match tree.value {
        Shape::Scalar(value) => Some(Placed { place: tree.place, value }),
        other => {
            collector.add(tree.place, format!("{what} is {}, not a single value", other.name()));
            None
        }
    }
}

/// A scalar converted by `read`; `takes` describes the accepted values in the message.
pub(crate) fn value<T>(
    tree: Tree,
    what: &str,
    takes: &str,
    hint: &str,
    read: impl Fn(&str) -> Option<T>,
    collector: &mut Collector,
) -> Option<T> {
    let written = text(tree, what, collector)?;
    let value = read(&written.value);
    if value.is_none() {
        let message = format!("{what} is {takes}, not \"{}\"", written.value);
        collector.add(written.place, message).hint(hint.to_owned());
    }
    value
}

pub(crate) fn list(tree: Tree, what: &str, collector: &mut Collector) -> Option<Vec<Tree>> {
    match tree.value {
        Shape::List(list) => Some(list),
        other => {
            collector
                .add(tree.place, format!("{what} is {}, not a list", other.name()))
                .hint("write it in brackets: [first, second]".to_owned());
            None
        }
    }
}

/// Reads `true` or `false`.
pub(crate) fn flag(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// Reads a finite number.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
