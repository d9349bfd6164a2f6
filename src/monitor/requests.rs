//! Requests on the page: the list with its search, one request with all that is known of it, and files of its response.

use std::sync::PoisonError;

use hyper::{StatusCode, Uri};
use percent_encoding::percent_decode_str;

use crate::admission::{SourceTable, find_requests};
use crate::journal::{JournalError, JournalReader, RequestHistory, RequestState};
use crate::ledger::{LedgerSnapshot, ViewRow, WaitingRequest};

use super::answers::{RequestList, RequestSummary, ServedRecord, ServedRequest};
use super::api::MonitorApi;
use super::files::response_file;
use super::graph::{GraphStep, step_graph};
use super::records::told;
use super::refusal_code::RefusalCode;
use super::reply::{MonitorAnswer, answer, failed, parameter, refusal};
use super::site::NameDisplay;

const REQUESTS_MAX: usize = 100;

impl MonitorApi {
    /// `/api/requests`
    pub(super) fn requests(&self, uri: &Uri) -> MonitorAnswer {
        let text = parameter(uri, "text").unwrap_or_default();
        let below = parameter(uri, "below").and_then(|below| below.parse().ok()).unwrap_or(i64::MAX);
        let states: Vec<RequestState> = match parameter(uri, "state").as_deref() {
            None | Some("") => RequestState::ALL.into(),
            Some("open") => RequestState::ALL.into_iter().filter(|state| state.is_open()).collect(),
            Some(name) => RequestState::ALL.into_iter().filter(|state| state.name() == name).collect(),
        };
        let found = || -> Result<Vec<RequestSummary>, JournalError> {
            let reader = JournalReader::open(&self.state)?;
            let rows = match text.trim() {
                "" => reader.page(below, &states, REQUESTS_MAX)?,
                text => {
                    let rows = find_requests(&reader, &SourceTable::built_in(), text)?.into_iter().rev();
                    let of_states = rows.filter(|row| states.contains(&row.state) && row.number < below);
                    of_states.take(REQUESTS_MAX).collect()
                }
            };
            rows.iter().map(|row| RequestSummary::of(row, &reader, self.names)).collect()
        };
        match found() {
            Ok(requests) => answer(StatusCode::OK, &RequestList { requests }),
            Err(error) => failed(&error),
        }
    }

    /// `/api/requests/NUMBER`, `/api/requests/NUMBER/replay`, or `/api/requests/NUMBER/files/NAME`
    pub(super) fn part(&self, path: &str) -> MonitorAnswer {
        let rest = path.strip_prefix("/api/requests/").unwrap_or_default();
        let (number, below) =
            rest.split_once('/').map_or((rest, None), |(number, below)| (number, Some(below)));
        match (number.parse(), below.map(|below| below.strip_prefix("files/"))) {
            (Ok(number), None) => self.request(number),
            (Ok(number), Some(Some(name))) => self.file(number, name),
            (Ok(number), Some(None)) if below == Some("replay") => {
                answer(StatusCode::OK, &self.replays.of(number, self.names))
            }
            _ => refusal(StatusCode::NOT_FOUND, RefusalCode::NothingHere),
        }
    }

    fn file(&self, number: i64, name: &str) -> MonitorAnswer {
        if self.names == NameDisplay::Hidden {
            return refusal(StatusCode::FORBIDDEN, RefusalCode::NamesHidden);
        }
        let history = JournalReader::open(&self.state).and_then(|reader| match reader.row(number)? {
            Some(_) => reader.history(number).map(Some),
            None => Ok(None),
        });
        let name = percent_decode_str(name).decode_utf8_lossy();
        match history {
            Ok(Some(history)) => match response_file(&self.state, &history, &name) {
                Ok(answer) => MonitorAnswer::Whole(answer),
                Err(refused) => {
                    let (status, code) = refused.told();
                    refusal(status, code)
                }
            },
            Ok(None) => refusal(StatusCode::NOT_FOUND, RefusalCode::NoRequest),
            Err(error) => failed(&error),
        }
    }

    fn request(&self, number: i64) -> MonitorAnswer {
        let read = || -> Result<Option<ServedRequest>, JournalError> {
            let reader = JournalReader::open(&self.state)?;
            let Some(row) = reader.row(number)? else { return Ok(None) };
            let history = reader.history(number)?;
            let records = history.entries.iter().map(|dated| ServedRecord {
                time_ms: dated.time_ms,
                kind: dated.entry.kind(),
                what: told(&dated.entry, self.names),
            });
            let (waits, graph) = (self.waits(number), self.graph(number, &history));
            let request = RequestSummary::of(&row, &reader, self.names)?;
            let files = match (self.names, history.response()) {
                (NameDisplay::Shown, Some(response)) => response.files.clone(),
                (NameDisplay::Hidden, _) | (_, None) => Vec::new(),
            };
            Ok(Some(ServedRequest { request, waits, graph, files, records: records.collect() }))
        };
        match read() {
            Ok(Some(detail)) => answer(StatusCode::OK, &detail),
            Ok(None) => refusal(StatusCode::NOT_FOUND, RefusalCode::NoRequest),
            Err(error) => failed(&error),
        }
    }

    /// The steps of a request, if its dataflow is known here.
    fn graph(&self, number: i64, history: &RequestHistory) -> Option<Vec<GraphStep>> {
        let wiring = history.version().and_then(|version| {
            let wirings = self.wirings.lock().unwrap_or_else(PoisonError::into_inner);
            wirings(version)
        })?;
        let state = self.mirror.read();
        let running = state.rows.keys().filter_map(|row| match row {
            ViewRow::Running(request, _, step) if *request == number => {
                Some(state.names.text(*step).to_owned())
            }
            _ => None,
        });
        Some(step_graph(&wiring, history, &running.collect()))
    }

    fn waits(&self, number: i64) -> Vec<WaitingRequest> {
        let state = self.mirror.read();
        let rows = state.rows.iter().filter(|(row, _)| match row {
            ViewRow::Waits(request, ..)
            | ViewRow::Running(request, ..)
            | ViewRow::RetryAt(request, ..)
            | ViewRow::NextTry(request, ..) => *request == number,
            _ => false,
        });
        let rows = rows.map(|(row, count)| (*row, *count)).collect();
        LedgerSnapshot::of(state.commit, &rows, &state.names).waiting
    }
}
