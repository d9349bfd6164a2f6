//! What the page does: actions on requests, parts and studies, each recorded with who asked for it.

use std::sync::PoisonError;

use hyper::{StatusCode, Uri};

use crate::admission::{WishError, note_wish};
use crate::journal::{JournalReader, OperatorRequest};

use super::answers::ActionNoted;
use super::api::MonitorApi;
use super::pausing::{self, PauseAction};
use super::reply::{MonitorAnswer, answer, failed, parameter, refusal};

impl MonitorApi {
    /// Carries out what a path asks for.
    pub(super) fn order(&self, path: &str, uri: &Uri, peer: &str) -> MonitorAnswer {
        let who = format!("the status page at {peer}");
        match (PauseAction::of(path), path) {
            (Some(action), _) => self.pause(action, uri, who),
            (None, "/api/complete") => self.complete(uri, &who),
            (None, _) => self.act(path, &who),
        }
    }

    fn pause(&self, action: PauseAction, uri: &Uri, who: String) -> MonitorAnswer {
        let given = |name| parameter(uri, name);
        let part = pausing::named_part(given("dataflow"), given("step"), given("destination"));
        let Some(part) = part.filter(|part| pausing::is_known(part, &self.mirror.snapshot())) else {
            return refusal(StatusCode::NOT_FOUND, "there is no such dataflow, step or destination");
        };
        match pausing::change(&self.state, action, part, who) {
            Ok(_) => self.done(action.name()),
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    fn complete(&self, uri: &Uri, who: &str) -> MonitorAnswer {
        let study = parameter(uri, "study").unwrap_or_default();
        match (self.complete_study)(&study, who) {
            Ok(true) => self.done("complete"),
            Ok(false) => {
                refusal(StatusCode::NOT_FOUND, "no such study is being received: it may be complete by now")
            }
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// The next overview shows what was done.
    fn done(&self, action: &'static str) -> MonitorAnswer {
        *self.overview.lock().unwrap_or_else(PoisonError::into_inner) = None;
        answer(StatusCode::ACCEPTED, &ActionNoted { noted: action })
    }

    /// `/api/requests/NUMBER/ACTION`
    fn act(&self, path: &str, who: &str) -> MonitorAnswer {
        let order = path.strip_prefix("/api/requests/").and_then(|rest| rest.split_once('/'));
        let order = order.and_then(|(number, action)| {
            Some((number.parse::<i64>().ok()?, OperatorRequest::named(action)?))
        });
        let Some((number, action)) = order else { return refusal(StatusCode::NOT_FOUND, "no such action") };
        let is_replay = action == OperatorRequest::Replay;
        if let Some(other) = self.replays.running().filter(|_| is_replay) {
            let why = format!("request {other} is being run again: wait for its end");
            return refusal(StatusCode::CONFLICT, &why);
        }
        let noted = || -> Result<Option<()>, WishError> {
            let reader = JournalReader::open(&self.state)?;
            let Some(row) = reader.row(number)? else { return Ok(None) };
            note_wish(&reader, &row, action, who).map(Some)
        };
        match noted() {
            Ok(Some(())) => {
                if is_replay && let Err(error) = self.replays.start(number, who) {
                    return refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
                }
                answer(StatusCode::ACCEPTED, &ActionNoted { noted: action.name() })
            }
            Ok(None) => refusal(StatusCode::NOT_FOUND, "there is no such request"),
            Err(WishError::Pointless(why)) => refusal(StatusCode::CONFLICT, &format!("the request {why}")),
            Err(WishError::Journal(error)) => failed(&error),
        }
    }
}
