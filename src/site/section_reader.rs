//! The reader of one part of a site's file: keys that are known, and values of the kinds that occur in it.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::yaml::{
    self, MapFields, PlacedValue, ProblemCollector, ScalarForm, SourcePlace, YamlShape, YamlTree, duration,
    entries, flag, list, text, value,
};

use super::SiteContext;

/// Reads keys and values, and notes everything that is wrong with them.
pub struct SectionReader<'r, 'text> {
    what: String,
    place: SourcePlace,
    /// The part that is read; `None` once its keys are known.
    tree: Option<YamlTree>,
    fields: Option<MapFields>,
    pub(super) context: &'r SiteContext,
    pub(crate) collector: &'r mut ProblemCollector<'text>,
}

/// Reads an address and a port; a port alone is one of this machine, so that nobody else is let in by omission.
pub fn listen_address(text: &str) -> Option<SocketAddr> {
    let of_port = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    text.parse().ok().or_else(|| text.parse().ok().map(of_port))
}

impl<'text> SectionReader<'_, 'text> {
    pub(super) fn new<'r>(
        tree: YamlTree,
        what: &str,
        keys: &[&'static str],
        context: &'r SiteContext,
        collector: &'r mut ProblemCollector<'text>,
    ) -> SectionReader<'r, 'text> {
        let mut reader = SectionReader::of(tree, what, context, collector);
        reader.known(what, keys);
        reader
    }

    fn of<'r>(
        tree: YamlTree,
        what: &str,
        context: &'r SiteContext,
        collector: &'r mut ProblemCollector<'text>,
    ) -> SectionReader<'r, 'text> {
        let (what, place) = (what.to_owned(), tree.place);
        SectionReader { what, place, tree: Some(tree), fields: None, context, collector }
    }

    /// The settings of the file that every section may use.
    pub fn context(&self) -> &SiteContext {
        self.context
    }

    /// Notes a problem at a place.
    pub fn wrong_at(&mut self, place: SourcePlace, message: String, hint: Option<String>) {
        self.collector.add(place, message).hint(hint);
    }

    /// Notes a problem of the file as a whole.
    pub fn wrong_file(&mut self, message: String, hint: &str) {
        let start = SourcePlace::START;
        self.collector.add(start, message).hint(hint.to_owned());
    }

    /// Sets the name of this part for messages, and the keys that it may have.
    pub fn known(&mut self, what: &str, keys: &[&'static str]) {
        self.what = what.to_owned();
        if let Some(tree) = self.tree.take() {
            self.fields = Some(MapFields::read(tree, what, keys, self.collector).at(self.place));
        }
    }

    /// Notes a problem of this part as a whole.
    pub fn wrong(&mut self, message: &str, hint: &str) {
        self.collector.add(self.place, format!("{}: {message}", self.what)).hint(hint.to_owned());
    }

    /// A part of this part, if it is there.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut SectionReader) -> T) -> Option<T> {
        let tree = self.take(key)?;
        Some(read(&mut SectionReader::of(tree, key, self.context, self.collector)))
    }

    /// A part that has no key.
    pub(super) fn inside<T>(&mut self, tree: YamlTree, read: impl FnOnce(&mut SectionReader) -> T) -> T {
        read(&mut SectionReader::of(tree, "", self.context, self.collector))
    }

    /// All parts of a map whose keys are names.
    pub fn named<T>(
        &mut self,
        what: &str,
        read: impl Fn(&PlacedValue<String>, &mut SectionReader) -> Option<T>,
    ) -> Vec<(String, T)> {
        let Some(tree) = self.tree.take() else { return Vec::new() };
        let entries = entries(tree, what, self.collector).unwrap_or_default();
        let each = entries.into_iter().filter_map(|(name, tree)| {
            let part = read(&name, &mut SectionReader::of(tree, &name.value, self.context, self.collector))?;
            Some((name.value, part))
        });
        each.collect()
    }

    /// The value of a part that may be a map or a single value, if it is the latter.
    pub fn single(&mut self) -> Option<PlacedValue<String>> {
        match &self.tree {
            Some(PlacedValue { place, value: YamlShape::Scalar(value, _) }) => {
                Some(PlacedValue { place: *place, value: value.clone() })
            }
            _ => None,
        }
    }

    pub fn required<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let lacks = !self.given(key) && self.fields.as_ref().is_some_and(|fields| fields.lacks(key));
        if lacks {
            self.collector.add(self.place, format!("{} lacks the key \"{key}\"", self.what));
        }
        read(self)
    }

    pub fn given(&self, key: &str) -> bool {
        self.fields.as_ref().is_some_and(|fields| fields.has(key))
    }

    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = self.text(key)?;
        Some(self.context.folder.join(path.value))
    }

    pub fn text(&mut self, key: &'static str) -> Option<PlacedValue<String>> {
        let tree = self.take(key)?;
        text(tree, &self.called(key), self.collector)
    }

    pub fn texts(&mut self, key: &'static str) -> Vec<PlacedValue<String>> {
        let Some(tree) = self.take(key) else { return Vec::new() };
        let what = self.called(key);
        let parts = list(tree, &what, self.collector).unwrap_or_default();
        parts.into_iter().filter_map(|part| text(part, &what, self.collector)).collect()
    }

    /// A value whose type parses it, and whose error becomes the problem.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let written = self.text(key)?;
        self.parse(&written)
    }

    pub fn parse<T: FromStr<Err: Display>>(&mut self, written: &PlacedValue<String>) -> Option<T> {
        written.value.parse().map_err(|error| _ = self.collector.add(written.place, format!("{error}"))).ok()
    }

    /// The address to listen at; a port alone is one of this machine.
    pub fn listen_address(&mut self, key: &'static str) -> Option<SocketAddr> {
        let hint = "a port of this machine, or ADDRESS:PORT: 127.0.0.1:8080";
        self.value(key, "an address", hint, listen_address)
    }

    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let hint = format!("write a number and one of {}: 30 s", duration::units());
        self.value(key, "a time", &hint, duration::parse)
    }

    /// A list of times, if it is there.
    pub fn durations(&mut self, key: &'static str) -> Option<Vec<Duration>> {
        let written = self.given(key).then(|| self.texts(key))?;
        let (what, hint) =
            (self.called(key), format!("write a number and one of {}: 5 s", duration::units()));
        let read = |PlacedValue { place, value: text }| {
            let tree = PlacedValue { place, value: YamlShape::Scalar(text, ScalarForm::Quoted) };
            value(tree, &what, "a time", &hint, duration::parse, self.collector)
        };
        Some(written.into_iter().filter_map(read).collect())
    }

    pub fn bytes(&mut self, key: &'static str) -> Option<u64> {
        let hint = format!("write a number and one of {}: 64 MiB", yaml::size_units());
        self.value(key, "a size", &hint, |text| yaml::size(text).filter(|bytes| *bytes > 0))
    }

    pub fn count(&mut self, key: &'static str, most: usize) -> Option<usize> {
        let read = |text: &str| text.parse().ok().filter(|number| (1..=most).contains(number));
        self.value(key, &format!("a whole number from 1 to {most}"), "", read)
    }

    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.value(key, "true or false", "", flag)
    }

    /// A value that is one of these words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let written = self.text(key)?;
        self.choose(&written, choices)
    }

    pub fn choose<T: Copy>(
        &mut self,
        written: &PlacedValue<String>,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let chosen = choices.iter().find(|(word, _)| *word == written.value).map(|(_, value)| *value);
        if chosen.is_none() {
            let hint = yaml::meant_or_all(&written.value, choices.iter().map(|(word, _)| *word));
            let message = format!("{} does not know \"{}\"", self.what, written.value);
            self.collector.add(written.place, message).hint(hint);
        }
        chosen
    }

    /// A single value that has been taken, as `read` takes it.
    pub fn reads<T>(
        &mut self,
        written: &PlacedValue<String>,
        takes: &str,
        hint: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let scalar = YamlShape::Scalar(written.value.clone(), ScalarForm::Quoted);
        let tree = PlacedValue { place: written.place, value: scalar };
        value(tree, &self.what.clone(), takes, hint, read, self.collector)
    }

    pub fn value<T>(
        &mut self,
        key: &'static str,
        takes: &str,
        hint: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let tree = self.take(key)?;
        value(tree, &self.called(key), takes, hint, read, self.collector)
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<YamlTree> {
        self.fields.as_mut()?.take(key).map(|(_, tree)| tree)
    }

    fn called(&self, key: &str) -> String {
        format!("\"{key}\" of {}", self.what)
    }
}
