//! The accounting: what is there after an attack, against what there is without one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use flow::admission::DeliveryRecord;
use flow::journal::{JournalReader, RequestRow};
use flow::step::Digest;

use super::pacs::Objects;
use super::{Ended, Life, ListeningAddress, Pacs, Site, Studies, studies};
use crate::run::tree;

/// What flow answers when nobody disturbs it.
pub struct Reference {
    /// By folder: the digest of each file, without `delivery.json`, which tells of ports and tries.
    responses: Responses,
    objects: Objects,
}

type Responses = BTreeMap<String, BTreeMap<PathBuf, Digest>>;

/// What differs from the reference, and what it took.
#[derive(Default)]
pub struct Account {
    pub kills: usize,
    pub lives: usize,
    /// Requests in the journal.
    accepted: usize,
    /// Responses in their folders.
    answered: usize,
    /// Objects that the PACS stored, copies included.
    stored: usize,
    /// Answers and objects that are not there.
    lost: BTreeSet<String>,
    /// Answers and objects that nobody asked for, or that there are two of.
    double: BTreeSet<String>,
    /// Answers and objects with other bytes.
    different: BTreeSet<String>,
    /// Drafts and received files that nobody needs any more.
    left: BTreeSet<String>,
}

impl Reference {
    /// Takes the studies from their files.
    pub fn of_files(studies: &Studies) -> Reference {
        let (site, pacs) = (Site::new(), Pacs::open());
        let mut command = site.run_files(&studies.folder);
        Life::start(command.arg("--to").arg(pacs.destination().to_string())).wait().assert_well();
        Reference::read(&site, &pacs, studies)
    }

    /// Takes the studies over DICOM.
    pub fn of_received(studies: &Studies) -> Reference {
        let (site, pacs, listener) = (Site::new(), Pacs::open(), ListeningAddress::default());
        let mut command = site.run_listening();
        let mut life = Life::start(command.arg("--to").arg(pacs.destination().to_string()));
        listener.set(life.listening().expect("nothing ends it"));
        studies.each.iter().for_each(|study| _ = studies::send_until_acknowledged(&listener, study));
        life.stopped().assert_well();
        Reference::read(&site, &pacs, studies)
    }

    fn read(site: &Site, pacs: &Pacs, studies: &Studies) -> Reference {
        let reference = Reference { responses: responses(&site.output()), objects: pacs.objects() };
        assert_eq!(reference.responses.len(), studies.each.len(), "every study is answered");
        assert!(!reference.objects.is_empty(), "results are sent on");
        assert!(reference.objects.values().all(|copies| copies.len() == 1), "each of them once");
        reference
    }

    /// Whether every response is in its place.
    pub fn is_answered(&self, site: &Site) -> bool {
        self.responses.keys().all(|name| site.output().join(name).join("response.json").exists())
    }
}

impl Account {
    /// Counts lives, and those that ended by force.
    pub fn lived(&mut self, lives: &[Ended]) {
        self.lives += lives.len();
        self.kills += lives.iter().filter(|life| life.was_killed()).count();
    }

    /// Counts what is there at the end of an attack.
    pub fn close(&mut self, reference: &Reference, site: &Site, pacs: &Pacs) {
        self.compare(reference, site, pacs);
        let rows =
            JournalReader::open(&site.state()).and_then(|reader| reader.requests()).expect("a sound journal");
        let found = responses(&site.output());
        self.accepted += rows.len();
        self.answered += found.len();
        self.stored += pacs.stored();
        self.lost.extend(missing(&found, &reference.responses));
        self.lost.extend(missing(&pacs.objects(), &reference.objects));
        self.lost.extend(undelivered(&site.output()));
        self.left.extend(leftovers(site, &rows));
    }

    /// Counts what is wrong, and passes over what is missing: there may be a life to come.
    pub fn compare(&mut self, reference: &Reference, site: &Site, pacs: &Pacs) {
        let (found, objects) = (responses(&site.output()), pacs.objects());
        self.double.extend(missing(&reference.responses, &found));
        self.double.extend(missing(&reference.objects, &objects));
        for (name, wanted, found) in both(&reference.responses, &found) {
            self.different.extend(unequal(wanted, found).map(|file| format!("{name}: {}", file.display())));
        }
        for (uid, wanted, found) in both(&reference.objects, &objects) {
            self.different.extend((wanted != found).then(|| format!("{uid}: {} contents", found.len())));
        }
    }

    pub fn add(&mut self, other: Account) {
        self.kills += other.kills;
        self.lives += other.lives;
        self.accepted += other.accepted;
        self.answered += other.answered;
        self.stored += other.stored;
        self.lost.extend(other.lost);
        self.double.extend(other.double);
        self.different.extend(other.different);
        self.left.extend(other.left);
    }

    pub fn is_good(&self) -> bool {
        [&self.lost, &self.double, &self.different, &self.left].iter().all(|list| list.is_empty())
    }

    pub fn assert_good(&self) {
        println!("{self}");
        assert!(self.is_good(), "{self}");
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { kills, lives, accepted, answered, stored, lost, double, different, left } = self;
        write!(f, "{kills} kills in {lives} lives; {accepted} accepted, {answered} answered, ")?;
        write!(f, "{stored} objects stored; {} lost, {} double, ", lost.len(), double.len())?;
        write!(f, "{} different, {} left over", different.len(), left.len())?;
        for (what, list) in [("lost", lost), ("double", double), ("different", different), ("left", left)] {
            list.iter().try_for_each(|one| write!(f, "\n  {what}: {one}"))?;
        }
        Ok(())
    }
}

/// Many attacks: what is wrong is told at the end, all at once.
#[derive(Default)]
pub struct Attacks {
    account: Account,
    wrong: Vec<String>,
}

impl Attacks {
    pub fn add(&mut self, what: &str, account: Account, lives: &[Ended]) {
        if !account.is_good() {
            let said: Vec<&str> = lives.iter().map(|life| life.said.as_str()).collect();
            self.wrong(format!("{what}: {account}\n{}", said.join("-- and then --\n")));
        }
        self.account.add(account);
    }

    pub fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    pub fn kills(&self) -> usize {
        self.account.kills
    }

    /// Tells the sum.
    ///
    /// # Panics
    /// If anything was wrong.
    pub fn conclude(self, what: &str) -> Account {
        println!("{what}: {}", self.account);
        assert!(self.wrong.is_empty(), "{what}: {} attacks\n{}", self.wrong.len(), self.wrong.join("\n"));
        self.account
    }
}

/// The responses below an output folder; drafts of responses are hidden folders.
fn responses(output: &Path) -> Responses {
    let whole = |name: &String| !name.starts_with('.');
    let response = |name: String| {
        let mut files = tree(&output.join(&name));
        files.retain(|path, _| !path.ends_with("delivery.json") && !is_draft(path));
        (name, files)
    };
    names(output).into_iter().filter(whole).map(response).collect()
}

fn is_draft(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
}

fn names(folder: &Path) -> Vec<String> {
    // It is made when flow is first started.
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect()
}

fn missing<V>(from: &BTreeMap<String, V>, of: &BTreeMap<String, V>) -> Vec<String> {
    of.keys().filter(|key| !from.contains_key(*key)).cloned().collect()
}

fn both<'a, V>(
    one: &'a BTreeMap<String, V>,
    other: &'a BTreeMap<String, V>,
) -> impl Iterator<Item = (&'a String, &'a V, &'a V)> {
    one.iter().filter_map(|(key, value)| Some((key, value, other.get(key)?)))
}

/// The files that are not in both, or have other bytes.
fn unequal<'a>(
    one: &'a BTreeMap<PathBuf, Digest>,
    other: &'a BTreeMap<PathBuf, Digest>,
) -> impl Iterator<Item = &'a PathBuf> {
    let paths: BTreeSet<&PathBuf> = one.keys().chain(other.keys()).collect();
    paths.into_iter().filter(|path| one.get(*path) != other.get(*path))
}

fn undelivered(output: &Path) -> Vec<String> {
    let delivered = |name: &String| {
        let text = fs::read_to_string(output.join(name).join("delivery.json")).unwrap_or_default();
        let deliveries: Vec<DeliveryRecord> = serde_json::from_str(&text).unwrap_or_default();
        !deliveries.is_empty() && deliveries.iter().all(|delivery| delivery.complete)
    };
    let names = names(output).into_iter().filter(|name| !name.starts_with('.') && !delivered(name));
    names.map(|name| format!("{name} has no delivery.json that says that all was delivered")).collect()
}

/// Drafts of responses, received files that no request has, and requests that are open.
fn leftovers(site: &Site, rows: &[RequestRow]) -> Vec<String> {
    let files = tree(&site.output()).into_keys();
    let drafts = files.filter(|path| is_draft(path)).map(|path| path.display().to_string());
    let open = rows.iter().filter(|row| row.is_open()).map(|row| format!("{} is open", row.name));
    let is_known =
        |folder: &PathBuf| rows.iter().any(|row| row.claims.iter().any(|known| folder.ends_with(known)));
    let inbox = site.state().join("inbox");
    let folders = names(&inbox).into_iter().map(|name| inbox.join(name));
    let unknown = folders.filter(|folder| !is_known(folder)).filter(|folder| !names(folder).is_empty());
    drafts.chain(open).chain(unknown.map(|folder| folder.display().to_string())).collect()
}
