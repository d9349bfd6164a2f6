//! All records of one request, read back and verified by their digests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rusqlite::Connection;

use crate::dataflow::{Response, ResponseVerdict};
use crate::step::{Artifact, Digest, Request};
use crate::store::{Store, StoreError};

use super::entry::{JournalEntry, RunRecord};
use super::error::DatabaseError;
use super::operator_request::OperatorRequest;
use super::row::RequestRow;
use super::{log, query, small_files};

/// All that is recorded of a request.
#[derive(Clone, Debug)]
pub struct RequestHistory {
    pub row: RequestRow,
    /// The entries, in the order in which they were recorded.
    pub entries: Vec<DatedEntry>,
}

/// An entry with the time at which it was recorded.
#[derive(Clone, Debug)]
pub struct DatedEntry {
    /// Milliseconds of Unix time.
    pub time_ms: i64,
    pub entry: JournalEntry,
    pub content: Vec<u8>,
}

impl RequestHistory {
    /// Reads the history of a request.
    ///
    /// # Errors
    /// If it cannot be read, or a record is missing or changed.
    pub fn read(connection: &Connection, number: i64) -> Result<RequestHistory, DatabaseError> {
        let row = query::get(connection, number)?;
        let damaged =
            |what: &str| DatabaseError::Damaged(format!("{what} of request {} ({})", number, row.name));
        let mut statement = connection.prepare_cached(
            "SELECT time_ms, kind, body, content, chain FROM record WHERE request = ? ORDER BY number",
        )?;
        let mut rows = statement.query([number])?;
        let mut entries = Vec::new();
        let mut head = Vec::new();
        while let Some(columns) = rows.next()? {
            let (time_ms, kind, body) =
                (columns.get(0)?, columns.get::<_, String>(1)?, columns.get::<_, String>(2)?);
            let content: Vec<u8> = columns.get(3)?;
            head = log::chain(&head, number, time_ms, &kind, &body, &content).to_vec();
            if head != columns.get::<_, Vec<u8>>(4)? {
                return Err(damaged("a record is not as it was written,"));
            }
            let entry = serde_json::from_str(&body);
            let entry = entry.map_err(|error| damaged(&format!("a record cannot be read ({error}),")))?;
            entries.push(DatedEntry { time_ms, entry, content });
        }
        if head != row.head || entries.len() as i64 != row.records {
            return Err(damaged("records are missing"));
        }
        Ok(RequestHistory { row, entries })
    }

    /// The request as it was accepted last, with the version of its dataflow.
    ///
    /// # Errors
    /// If it was never accepted, which a whole journal does not have.
    pub fn request(&self) -> Result<(&Request, Digest), DatabaseError> {
        let accepted = self.entries.iter().rev().find_map(|dated| match &dated.entry {
            JournalEntry::Accepted { request, version, .. } => Some((request, *version)),
            _ => None,
        });
        accepted
            .ok_or_else(|| DatabaseError::Damaged(format!("request {} was never accepted", self.row.number)))
    }

    /// The version of the dataflow under which the request was accepted last, or under which its response was made
    /// since: a retry may take a later version.
    pub fn version(&self) -> Option<Digest> {
        self.entries.iter().rev().find_map(|dated| match &dated.entry {
            JournalEntry::Accepted { version, .. } => Some(*version),
            JournalEntry::Responded { response } | JournalEntry::Interim { response } => {
                Some(response.version)
            }
            _ => None,
        })
    }

    /// Whether one program with one dataflow made everything that is recorded. A program under development
    /// may give other results after each build, though no step's version was raised.
    pub fn is_of_one_program(&self) -> bool {
        let mut programs = self.entries.iter().filter_map(|dated| match &dated.entry {
            JournalEntry::Accepted { program, version, .. } => Some((program, version)),
            _ => None,
        });
        let first = programs.next();
        programs.all(|program| Some(program) == first)
    }

    /// How many runs of a step have ended since the request was accepted last.
    pub fn runs_of(&self, step: &str) -> usize {
        let opened =
            self.entries.iter().rposition(|dated| matches!(dated.entry, JournalEntry::Accepted { .. }));
        let since = &self.entries[opened.unwrap_or(0)..];
        let runs = since.iter().filter_map(|dated| match &dated.entry {
            JournalEntry::Run(run) if run.step == step => Some(run.item),
            _ => None,
        });
        runs.collect::<BTreeSet<Option<usize>>>().len()
    }

    /// The last response that was made, whether or not it is delivered.
    pub fn response(&self) -> Option<&Response> {
        self.entries.iter().rev().find_map(|dated| match &dated.entry {
            JournalEntry::Responded { response } => Some(response),
            _ => None,
        })
    }

    /// The small files of the last response, which are in its record.
    pub fn small_files(&self) -> Vec<(&Artifact, &[u8])> {
        let last = self.entries.iter().rev().find_map(|dated| match &dated.entry {
            JournalEntry::Responded { response } => Some((&response.files, &*dated.content)),
            _ => None,
        });
        last.map(|(files, mut content)| small_files::take(files, &mut content)).unwrap_or_default()
    }

    /// Puts the small files of the last response into the store that it lacks.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn restore_small_files(&self, store: &Store) -> Result<(), StoreError> {
        let Some(response) = self.response() else { return Ok(()) };
        let request = response.request;
        let is_missing = |file: &Artifact| !store.is_whole(request, std::slice::from_ref(file));
        let mut missing = self.small_files().into_iter().filter(|(file, _)| is_missing(file));
        missing.try_for_each(|(file, bytes)| store.hold(request, file.digest, &bytes.into()))
    }

    /// Whether an operator has cancelled the request, and not asked for a retry since.
    pub fn is_cancelled(&self) -> bool {
        let last = self.entries.iter().rev().find_map(|dated| match &dated.entry {
            JournalEntry::Accepted { .. } => Some(false),
            JournalEntry::Asked { what, .. } if what == OperatorRequest::Cancel.name() => Some(true),
            entry if entry.is_retry() => Some(false),
            _ => None,
        });
        last.unwrap_or(false)
    }

    /// Whether an operator has asked, since the request was accepted last, that it begin before others.
    pub fn is_hurried(&self) -> bool {
        let asked = self.last(|entry| {
            matches!(entry, JournalEntry::Asked { what, .. } if what == OperatorRequest::Hurry.name())
        });
        asked > self.last(|entry| matches!(entry, JournalEntry::Accepted { .. }))
    }

    /// Whether the request has taken a lane since it was last taken up.
    pub fn has_begun(&self) -> bool {
        let last = self.last(|entry| {
            matches!(entry, JournalEntry::Began | JournalEntry::TakenUp | JournalEntry::Accepted { .. })
        });
        last.is_some_and(|last| self.entries[last].entry == JournalEntry::Began)
    }

    /// Whether an operator has asked for a retry since the last response.
    pub fn is_retried(&self) -> bool {
        self.last(JournalEntry::is_retry) > self.last(|entry| matches!(entry, JournalEntry::Responded { .. }))
    }

    /// Whether a response was made since the request was accepted last. That response is delivered, and no
    /// other is made.
    pub fn delivery_began(&self) -> bool {
        let made = self.last(|entry| matches!(entry, JournalEntry::Responded { .. }));
        made > self.last(|entry| matches!(entry, JournalEntry::Accepted { .. }))
    }

    /// The answers of each destination to the response that is being delivered, in the order of their
    /// records: the state after the last try, and the answer to each file since.
    ///
    /// Answers to earlier responses do not count: those from before the request was accepted again or
    /// retried, and those to the interim response of a deadline.
    pub fn delivered(&self) -> BTreeMap<String, Vec<serde_json::Value>> {
        let began = self.last(|entry| {
            let made = matches!(entry, JournalEntry::Responded { .. } | JournalEntry::Interim { .. });
            made || entry.opens()
        });
        let since = began.map_or(&[][..], |began| &self.entries[began..]);
        if matches!(since, [DatedEntry { entry: JournalEntry::Interim { .. }, .. }, ..]) {
            return BTreeMap::new();
        }
        let current = self.response().map(Response::digest);
        let mut delivered: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
        for dated in since {
            match &dated.entry {
                JournalEntry::Sent { destination, response, detail } if Some(*response) == current => {
                    delivered.entry(destination.clone()).or_default().push(detail.clone());
                }
                JournalEntry::Delivered { destination, response, detail, .. }
                    if response.is_none() || *response == current =>
                {
                    delivered.insert(destination.clone(), vec![detail.clone()]);
                }
                _ => {}
            }
        }
        delivered
    }

    fn last(&self, is_it: impl Fn(&JournalEntry) -> bool) -> Option<usize> {
        self.entries.iter().rposition(|dated| is_it(&dated.entry))
    }

    /// Entries since the request was last accepted, or since an operator last asked for a retry.
    fn since_opened(&self) -> &[DatedEntry] {
        self.last(JournalEntry::opens).map_or(&[], |opened| &self.entries[opened..])
    }

    /// Runs of the request's steps by their keys, each with its content; of several with one key, the last.
    /// Runs that failed before an operator asked for a retry do not count.
    pub fn runs(&self) -> BTreeMap<Digest, (&RunRecord, &[u8])> {
        self.runs_with(RunRecord::is_whole)
    }

    /// Runs as [`RequestHistory::runs`] gives them, with the answers to calls of which some failed before a retry: what
    /// was not asked again is in the response.
    pub fn runs_of_response(&self) -> BTreeMap<Digest, (&RunRecord, &[u8])> {
        self.runs_with(|run| run.is_whole() || run.has_answers())
    }

    /// The last run of each key; of those before a retry, the ones that are `kept`.
    fn runs_with(&self, kept: impl Fn(&RunRecord) -> bool) -> BTreeMap<Digest, (&RunRecord, &[u8])> {
        let mut runs: BTreeMap<Digest, (&RunRecord, &[u8])> = BTreeMap::new();
        for dated in &self.entries {
            match &dated.entry {
                JournalEntry::Run(run) => _ = runs.insert(run.key, (run, &dated.content)),
                entry if entry.is_retry() => runs.retain(|_, (run, _)| kept(run)),
                _ => {}
            }
        }
        runs
    }

    /// Time since the request was last accepted or retried, by the wall clock; zero if that was set back
    /// since.
    pub fn waited(&self) -> Duration {
        let since_ms =
            self.since_opened().first().map_or(0, |dated| log::now_ms().saturating_sub(dated.time_ms));
        Duration::from_millis(u64::try_from(since_ms).unwrap_or(0))
    }

    /// The interim response of a passed deadline since the request was accepted last.
    pub fn interim(&self) -> Option<&Response> {
        let mut interim = self.since_opened().iter().rev().filter_map(|dated| match &dated.entry {
            JournalEntry::Interim { response } => Some(response),
            _ => None,
        });
        interim.next()
    }

    /// The number of final error responses after which an operator asked for a retry.
    pub fn rejected(&self) -> u32 {
        let (mut rejected, mut failed) = (0, false);
        for dated in &self.entries {
            match &dated.entry {
                JournalEntry::Responded { response } => failed = response.verdict == ResponseVerdict::Failed,
                entry if entry.is_retry() => rejected += u32::from(std::mem::take(&mut failed)),
                _ => {}
            }
        }
        rejected
    }

    /// The number of processes in a row, up to the last one, that resumed the request, began its steps, and
    /// ended before any of them had ended.
    pub fn futile_starts(&self) -> usize {
        let mut starts = 0;
        let mut began = false;
        for dated in self.entries.iter().rev() {
            match &dated.entry {
                JournalEntry::Began => began = true,
                JournalEntry::TakenUp | JournalEntry::Accepted { .. } => {
                    starts += usize::from(std::mem::take(&mut began))
                }
                JournalEntry::Run(_) | JournalEntry::Responded { .. } => break,
                _ => {}
            }
        }
        starts
    }
}
