//! The accounting: what is there after the kills, against what is there without them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::cli::exit::CommandError;
use crate::cli::lookup;
use crate::cli::output::tell_line;
use crate::journal::AnswerKind;
use crate::step::Digest;

use super::life::LifeFolders;

/// The requests and responses of some lives.
pub struct Answers {
    /// The names of accepted requests, with whether each is answered.
    accepted: BTreeMap<String, bool>,
    /// The number of those that were answered with an error response.
    failed: usize,
    /// The digests of the files of each response, by the name of its folder; without `delivery.json`, which
    /// tells of tries.
    responses: BTreeMap<String, BTreeMap<String, Digest>>,
}

impl Answers {
    /// Reads the journal and the folder of responses. Both may be missing after an early kill.
    pub fn read(folders: &LifeFolders) -> Result<Answers, CommandError> {
        let rows = match folders.state().join(crate::journal::Journal::FILE).exists() {
            true => lookup::open(&folders.state())?.requests()?,
            false => Vec::new(),
        };
        let failed = rows.iter().filter(|row| !row.is_open() && row.answer == AnswerKind::Failed).count();
        let accepted = rows.into_iter().map(|row| {
            let is_answered = !row.is_open();
            (format!("{} {}", row.name, row.id.short()), is_answered)
        });
        let mut responses = BTreeMap::new();
        // Drafts of responses are hidden.
        for name in names(&folders.output())?.into_iter().filter(|name| !name.starts_with('.')) {
            let mut files = BTreeMap::new();
            read_files(&folders.output().join(&name), "", &mut files)?;
            responses.insert(name, files);
        }
        Ok(Answers { accepted: accepted.collect(), failed, responses })
    }

    /// The number of requests that were answered with an error response.
    pub fn failed(&self) -> usize {
        self.failed
    }

    pub fn len(&self) -> usize {
        self.responses.len()
    }

    /// The answers that others have in place of these, which are right.
    pub fn compared(&self, found: &Answers) -> TortureAccount {
        let mut account = TortureAccount {
            accepted: found.accepted.len(),
            answered: found.responses.len(),
            ..TortureAccount::default()
        };
        let lost = self.responses.keys().filter(|name| !found.responses.contains_key(*name));
        account.lost.extend(lost.map(|name| format!("{name} has no response")));
        let unanswered = found.accepted.iter().filter(|(_, is_answered)| !**is_answered);
        account.lost.extend(unanswered.map(|(name, _)| format!("{name} is not answered in the journal")));
        let double = found.responses.keys().filter(|name| !self.responses.contains_key(*name));
        account.double.extend(double.map(|name| format!("{name} is a further response")));
        let double = found.accepted.keys().filter(|name| !self.accepted.contains_key(*name));
        account.double.extend(double.map(|name| format!("{name} is a further request")));
        for (name, wanted) in &self.responses {
            let Some(files) = found.responses.get(name) else { continue };
            let all: BTreeSet<&String> = wanted.keys().chain(files.keys()).collect();
            let other = all.into_iter().filter(|file| wanted.get(*file) != files.get(*file));
            account.different.extend(other.map(|file| format!("{name}/{file}")));
        }
        account
    }
}

fn read_files(folder: &Path, below: &str, files: &mut BTreeMap<String, Digest>) -> io::Result<()> {
    for name in names(folder)? {
        let (path, place) = (folder.join(&name), format!("{below}{name}"));
        if path.is_dir() {
            read_files(&path, &format!("{place}/"), files)?;
        } else if name != "delivery.json" && !name.starts_with('.') {
            let bytes = fs::read(&path)?;
            let is_response = place == RESPONSE_FILE;
            files.insert(place, Digest::of(&if is_response { without_retries(bytes) } else { bytes }));
        }
    }
    Ok(())
}

const RESPONSE_FILE: &str = "response.json";

/// A response without the number of retried calls, which the services decide that are called.
fn without_retries(bytes: Vec<u8>) -> Vec<u8> {
    let Ok(mut response) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return bytes };
    let Some(streams) = response.get_mut("streams").and_then(|streams| streams.as_array_mut()) else {
        return bytes;
    };
    for stream in streams.iter_mut().filter_map(|stream| stream.as_object_mut()) {
        stream.remove("retried");
    }
    response.to_string().into_bytes()
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The findings after some kills.
#[derive(Default)]
pub struct TortureAccount {
    pub kills: u32,
    pub lives: u32,
    accepted: usize,
    answered: usize,
    /// Requests without an answer.
    lost: Vec<String>,
    /// Requests and responses that there are too many of.
    double: Vec<String>,
    /// Files with other bytes, or that only one side has.
    different: Vec<String>,
    places: Vec<String>,
}

impl TortureAccount {
    pub fn is_good(&self) -> bool {
        [&self.lost, &self.double, &self.different].iter().all(|list| list.is_empty())
    }

    pub fn lost(&mut self, what: String) {
        self.lost.push(what);
    }

    pub fn found_in(&mut self, folder: &Path) {
        if !self.is_good() {
            self.places.push(folder.display().to_string());
        }
    }

    pub fn add(&mut self, other: TortureAccount) {
        self.kills += other.kills;
        self.lives += other.lives;
        self.accepted += other.accepted;
        self.answered += other.answered;
        self.lost.extend(other.lost);
        self.double.extend(other.double);
        self.different.extend(other.different);
        self.places.extend(other.places);
    }

    /// Tells each thing that is wrong.
    pub fn tell(&self) {
        let lists = [
            ("lost", &self.lost),
            ("double", &self.double),
            ("different", &self.different),
            ("in", &self.places),
        ];
        for (word, list) in lists {
            list.iter().for_each(|one| tell_line(format_args!("  {word}: {one}")));
        }
    }

    pub fn json(&self, of: &str) -> serde_json::Value {
        let TortureAccount { kills, lives, accepted, answered, lost, double, different, places } = self;
        serde_json::json!({
            "of": of, "kills": kills, "lives": lives, "accepted": accepted, "answered": answered, "lost": lost,
            "double": double, "different": different, "places": places,
        })
    }
}

impl fmt::Display for TortureAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TortureAccount { kills, lives, accepted, answered, lost, double, different, places: _ } = self;
        write!(f, "{kills} kills in {lives} lives: {accepted} accepted, {answered} answered, ")?;
        write!(f, "{} lost, {} double, {} different", lost.len(), double.len(), different.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(accepted: &[(&str, bool)], responses: &[(&str, &str)]) -> Answers {
        let file = |bytes: &str| BTreeMap::from([("response.json".to_owned(), Digest::of(bytes.as_bytes()))]);
        Answers {
            accepted: accepted.iter().map(|(name, is)| ((*name).to_owned(), *is)).collect(),
            failed: 0,
            responses: responses.iter().map(|(name, bytes)| ((*name).to_owned(), file(bytes))).collect(),
        }
    }

    #[test]
    fn a_response_is_compared_without_its_retries() {
        let response = |retried: &str, done: u32| {
            let text = format!("{{\"streams\": [{{\"step\": \"a\", \"done\": {done}{retried}}}]}}");
            without_retries(text.into_bytes())
        };
        assert!(response("", 1) == response(", \"retried\": 7", 1) && response("", 1) != response("", 2));
        assert_eq!(without_retries(b"no response".to_vec()), b"no response");
    }

    #[test]
    fn each_kind_of_fault_is_told_apart() {
        let right = answers(&[("a", true), ("b", true)], &[("a", "1"), ("b", "2")]);
        let told = |found: &Answers| {
            let account = right.compared(found);
            (account.lost.len(), account.double.len(), account.different.len())
        };
        assert_eq!(told(&answers(&[("a", true), ("b", true)], &[("a", "1"), ("b", "2")])), (0, 0, 0));
        assert_eq!(told(&answers(&[("a", true), ("b", false)], &[("a", "1")])), (2, 0, 0));
        assert_eq!(
            told(&answers(&[("a", true), ("c", true)], &[("a", "1"), ("b", "2"), ("c", "1")])),
            (0, 2, 0)
        );
        assert_eq!(told(&answers(&[("a", true), ("b", true)], &[("a", "1"), ("b", "1")])), (0, 0, 1));
    }
}
