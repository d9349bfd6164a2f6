//! What happens to a request before it is in work: it is recorded, or found to be known.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::dataflow::{Dataflow, Response, Revisions, Verdict};
use crate::dicom;
use crate::engine::{Deadline, Entrance, Submission};
use crate::journal::{Arrival, Entry, History, Journal, JournalError, Receipt, Release, Row, Standing};
use crate::step::{Digest, Fault, Request};

use super::progress::Progress;

/// Where requests are recorded, and handed on.
#[derive(Clone, Copy)]
pub struct Intake<'a> {
    pub journal: &'a Journal,
    pub dataflow: &'a Dataflow,
    pub entrance: &'a Entrance,
    pub progress: &'a Progress,
    /// The digest of this program.
    pub program: Digest,
    /// Gives back to the sources what no request needs.
    pub release: Release<'a>,
}

/// A request that is there so many times in a row when a process dies, and gets nowhere, is not begun
/// once more. Someone who kills flow again and again must not be taken for a request that does.
const FUTILE_STARTS_MAX: usize = 10;

/// So long the others wait for one that may be why a process died.
const SUSPECTED_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether it has got anywhere.
const LOOK: Duration = Duration::from_millis(20);

impl Intake<'_> {
    /// Accepts a request, and hands it on. When this returns it is on the disk.
    ///
    /// # Errors
    /// If it cannot be recorded: it is not accepted then.
    pub fn take(&self, request: Request) -> Result<(), JournalError> {
        // What is relied on must not be forgotten before the request is recorded.
        let held = self.journal.hold();
        let earlier = self.earlier(&request)?;
        let claims = request.claims.clone();
        let request = match &earlier {
            Some(history) => revised(history, request),
            None => request,
        };
        if let Some(history) = earlier.as_ref().filter(|history| self.ignores(history, &request)) {
            self.ignore(history, &request)?;
            self.discard(&claims);
            return Ok(());
        }
        let receipt = self.journal.accept(Arrival {
            request: Arc::new(request),
            dataflow: self.dataflow.name().to_owned(),
            version: self.dataflow.digest(),
            program: self.program,
        })?;
        let used = &receipt.request().claims;
        let unused: Vec<String> = claims.into_iter().filter(|claim| !used.contains(claim)).collect();
        self.discard(&unused);
        drop(held);
        self.hand_on(receipt, earlier.as_ref())
    }

    /// Releases what nobody will ask for: the same was received before.
    fn discard(&self, claims: &[String]) {
        if claims.is_empty() {
            return;
        }
        if let Err(error) = (self.release)(claims) {
            tracing::warn!(%error, "received files that are not needed stay with their source");
        }
    }

    fn hand_on(&self, receipt: Receipt, earlier: Option<&History>) -> Result<(), JournalError> {
        match (receipt.standing(), receipt.number()) {
            (Standing::New, _) | (_, None) => self.entrance.resume(receipt.into(), earlier),
            (Standing::InWork, _) => {
                let name = &receipt.request().name;
                self.progress.say(&format!("known     {name}  is in work; one answer will do for both"));
            }
            (Standing::Answered, Some(number)) => self.once_more(receipt, number)?,
        }
        Ok(())
    }

    /// Whether the dataflow does not want what has come of a request that is answered.
    fn ignores(&self, earlier: &History, request: &Request) -> bool {
        let is_more = request.id != earlier.row.id;
        is_more && !earlier.row.is_open() && self.dataflow.revisions() == Revisions::Ignore
    }

    fn ignore(&self, earlier: &History, request: &Request) -> Result<(), JournalError> {
        let known = earlier.request().map(|(known, _)| known.items.clone()).unwrap_or_default();
        let new = request.items.iter().filter(|item| known.iter().all(|known| known.digest != item.digest));
        let items: Vec<String> = new.map(|item| item.name.clone()).collect();
        let (name, count) = (&earlier.row.name, items.len());
        self.progress.say(&format!("ignored   {name}  {count} items that came after its answer"));
        self.journal.append(&self.journal.receipt(earlier)?, Entry::Late { items })
    }

    /// What earlier processes have accepted and not answered. To be asked for before anything new is
    /// accepted.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn left(&self) -> Result<Vec<Row>, JournalError> {
        // What was asked for while no flow was running is part of the records from now on.
        self.journal.wishes()?;
        self.journal.unanswered(self.dataflow.name())
    }

    /// Goes on with these requests where they stand. Those that were in work when a process died, and had
    /// got nowhere, are begun one after the other: one may be why it died, and the others are not to
    /// be blamed.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn take_up(&self, left: &[Row]) -> Result<(), JournalError> {
        let mut suspects = Vec::new();
        for row in left {
            match self.is_suspect(row)? {
                true => suspects.push(row),
                false => self.take_up_one(row)?,
            }
        }
        for row in suspects {
            self.take_up_one(row)?;
            let end = Instant::now() + SUSPECTED_MAX;
            while self.is_suspect(row)? && Instant::now() < end {
                thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    fn is_suspect(&self, row: &Row) -> Result<bool, JournalError> {
        let history = self.journal.history(row.number)?;
        Ok(history.is_some_and(|history| history.futile_starts() > 0))
    }

    /// Goes on with a request where it stands.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn take_up_one(&self, row: &Row) -> Result<(), JournalError> {
        let Some(history) = self.journal.history(row.number)? else { return Ok(()) };
        let receipt = self.journal.receipt(&history)?;
        if let Some(response) = self.made(&history) {
            self.progress.say(&format!("taken up  {}  its response is made", row.name));
            self.entrance.deliver(receipt, response);
            return Ok(());
        }
        if history.is_cancelled() {
            self.refuse(receipt, &history, Fault::cancelled());
            return Ok(());
        }
        let starts = history.futile_starts();
        if starts >= FUTILE_STARTS_MAX {
            self.refuse(receipt, &history, deadly(starts));
            return Ok(());
        }
        let runs = history.runs().len();
        self.progress.say(&format!("taken up  {}  {runs} finished runs of steps", row.name));
        self.entrance.resume(self.again(receipt, &history), Some(&history));
        Ok(())
    }

    fn refuse(&self, receipt: Receipt, history: &History, fault: Fault) {
        self.entrance.submit(Submission { refused: Some(fault), ..self.again(receipt, history) });
    }

    /// A request that goes on, with what is left of its time.
    fn again(&self, receipt: Receipt, history: &History) -> Submission {
        let interim = history.interim().map(Response::digest);
        let rejected = history.response().filter(|_| history.rejected() > 0).map(Response::digest);
        let deadline = match (interim, self.dataflow.deadline()) {
            (Some(_), _) => Deadline::Passed,
            (None, Some(deadline)) => Deadline::Within(deadline.saturating_sub(history.waited())),
            (None, None) => Deadline::OfDataflow,
        };
        Submission { deadline, supersedes: interim.or(rejected), ..receipt.into() }
    }

    /// A request that was answered before: the same response goes out again, and changes nothing
    /// where it is. Where the program or the dataflow is another by now, it is run again.
    fn once_more(&self, receipt: Receipt, number: i64) -> Result<(), JournalError> {
        let Some(history) = self.journal.history(number)? else { return Ok(()) };
        let reusable = Some(&history).filter(|history| history.is_of_one_program());
        match reusable.and_then(|history| self.made(history)) {
            Some(response) => {
                let name = &receipt.request().name;
                self.progress
                    .say(&format!("known     {name}  was answered; the same response goes out again"));
                self.entrance.deliver(receipt, response);
            }
            None => {
                let receipt = self.journal.receipt(&history)?;
                self.entrance.resume(self.again(receipt, &history), reusable);
            }
        }
        Ok(())
    }

    /// The response that was made under this dataflow, unless an operator wants another.
    fn made(&self, history: &History) -> Option<Response> {
        let response = history.response()?;
        if response.verdict == Verdict::Failed && history.is_retried() {
            return None;
        }
        let unanswered = history.delivery_began();
        let is_ours = unanswered || response.version == self.dataflow.digest();
        // What the disk has lost of it is made again, and is the same.
        let is_whole = || self.journal.store().is_whole(response.request, &response.files);
        (is_ours && is_whole()).then(|| response.clone())
    }

    /// The last request about the same thing.
    fn earlier(&self, request: &Request) -> Result<Option<History>, JournalError> {
        if request.subject.is_empty() {
            return Ok(None);
        }
        match self.journal.latest(self.dataflow.name(), &request.subject)? {
            Some(row) => self.journal.history(row.number),
            None => Ok(None),
        }
    }
}

/// A study that has been received before is added to: instances do not vanish by not being sent
/// again. A folder is taken as it is now.
fn revised(history: &History, request: Request) -> Request {
    let Ok((earlier, _)) = history.request() else { return request };
    let mut revised = match request.attribute("source") {
        dicom::SOURCE => dicom::merge(earlier, request),
        _ => request,
    };
    if revised.id != earlier.id {
        revised.supersedes = Some(earlier.id);
    } else {
        // It is the earlier one, which may itself have taken the place of another.
        revised.supersedes = earlier.supersedes;
    }
    revised
}

fn deadly(starts: usize) -> Fault {
    Fault::new(
        format!("flow ended {starts} times while this request was in work, and no step of it finished"),
        "See in the log why it ended. `flow retry` with the request's name runs it once more.",
    )
}
