//! What the page does: actions on requests, parts and studies, each recorded with who asked for it.

use std::sync::PoisonError;

use hyper::{StatusCode, Uri};

use crate::admission::{WishError, note_wish};
use crate::engine::PausablePart;
use crate::journal::{JournalReader, OperatorRequest};

use super::answers::ActionNoted;
use super::api::MonitorApi;
use super::pausing::{self, PauseAction};
use super::refusal_code::RefusalCode;
use super::reply::{MonitorAnswer, answer, failed, parameter, refusal, worded_refusal};

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
        let is_known =
            |part: &PausablePart| pausing::is_known(part, &self.mirror.snapshot(), &(self.local)());
        let Some(part) = part.filter(is_known) else {
            return refusal(StatusCode::NOT_FOUND, RefusalCode::NoPart);
        };
        match pausing::change(&self.state, action, part, who) {
            Ok(_) => self.done(action.name()),
            Err(error) => worded_refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    fn complete(&self, uri: &Uri, who: &str) -> MonitorAnswer {
        let study = parameter(uri, "study").unwrap_or_default();
        match (self.complete_study)(&study, who) {
            Ok(true) => self.done("complete"),
            Ok(false) => refusal(StatusCode::NOT_FOUND, RefusalCode::NoStudy),
            Err(error) => worded_refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
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
        let Some((number, action)) = order else {
            return refusal(StatusCode::NOT_FOUND, RefusalCode::NoAction);
        };
        let is_replay = action == OperatorRequest::Replay;
        if let Some(other) = self.replays.running().filter(|_| is_replay) {
            return refusal(StatusCode::CONFLICT, RefusalCode::ReplayRunning(other));
        }
        let noted = || -> Result<Option<()>, WishError> {
            let reader = JournalReader::open(&self.state)?;
            let Some(row) = reader.row(number)? else { return Ok(None) };
            note_wish(&reader, &row, action, who).map(Some)
        };
        match noted() {
            Ok(Some(())) => {
                if is_replay && let Err(error) = self.replays.start(number, who) {
                    return worded_refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
                }
                answer(StatusCode::ACCEPTED, &ActionNoted { noted: action.name() })
            }
            Ok(None) => refusal(StatusCode::NOT_FOUND, RefusalCode::NoRequest),
            Err(WishError::Pointless(why)) => refusal(StatusCode::CONFLICT, RefusalCode::Pointless(why)),
            Err(WishError::Journal(error)) => failed(&error),
        }
    }
}
