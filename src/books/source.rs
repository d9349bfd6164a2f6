//! A directory as a source of the engine: each claimed token is a request.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::{Admission, Intake, Source};
use crate::printable::with_causes;
use crate::step::{AttributeDeclaration, AttributeValues, BuiltInAttributes, Item, Request, interned};
use crate::store::free_bytes;
use crate::tokens::{ClaimOutcome, ClaimedToken, TokenClaims, TokenError};

use super::work::{StageWork, WorkCounts};

/// The attribute of a request that names its stage.
pub(super) const STAGE: &str = "stage";

const ATTRIBUTES: &[AttributeDeclaration] =
    &[AttributeDeclaration::text(STAGE, "The stage of a token that is the request.")];

inventory::submit! { BuiltInAttributes(ATTRIBUTES) }

/// The tokens of a directory as requests.
pub struct StageSource {
    work: Arc<StageWork>,
    name: &'static str,
    /// Nothing is claimed while less is free on the disk.
    free_bytes_min: u64,
}

/// The time between two looks into an empty directory, unless this process puts something into it.
const LOOK: Duration = Duration::from_millis(100);

/// The time before something is tried again that has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The time that work has after the end was asked for.
const END: Duration = Duration::from_secs(5);

impl StageSource {
    /// The tokens that wait for a stage. Nothing is claimed while less than `free_bytes_min` are free on its disk.
    pub fn new(work: &Arc<StageWork>, free_bytes_min: u64) -> StageSource {
        let name = interned(&format!("tokens-{}", work.stage.name));
        StageSource { work: Arc::clone(work), name, free_bytes_min }
    }

    fn request(&self, claimed: &ClaimedToken) -> Request {
        let attributes = [("source", self.name), (STAGE, &self.work.stage.name)];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), AttributeValues::from(value)));
        let item = Item::inline(claimed.token.barcode.as_str(), claimed.token.to_bytes());
        Request::new(claimed.name.as_str(), attributes.into(), vec![item])
    }

    /// Claims a token and hands it to the engine; `false` if there is none.
    fn next(&self, claims: &mut TokenClaims, admission: &Admission) -> Result<bool, TokenError> {
        let place = self.work.place();
        match claims.next(&place)? {
            ClaimOutcome::Token(claimed) => {
                let request = self.request(&claimed);
                let name = claimed.name.to_string();
                self.work.note(*claimed, place);
                // Nothing is written: the directory is the journal.
                if let Err(error) = admission.accept(request) {
                    tracing::error!(%error, "{name} could not be handed to the engine; the next start takes it");
                    self.work.take(&name);
                    self.work.leave();
                }
            }
            ClaimOutcome::Parked { name, fault } => {
                admission.say(self.name, &format!("{name} is parked: {fault}"));
                self.work.count(WorkCounts { failed: 1, ..WorkCounts::default() });
                self.work.leave();
            }
            ClaimOutcome::Stuck { name, fault } => {
                admission.say(self.name, &format!("{name} cannot be moved and stays: {fault}"));
                self.work.leave();
            }
            ClaimOutcome::Nothing => {
                self.work.leave();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes directories anew that somebody has removed, and a place instead of one that was taken over.
    fn mend(&self, error: &TokenError, admission: &Admission, told: &mut String) {
        let text = error.to_string();
        if error.kind() == ErrorKind::NotFound {
            let place = self.work.place();
            let mended = self.work.stage.from.prepare().and_then(|()| match place.folder().exists() {
                true => Ok(()),
                false => self.work.renew(&place),
            });
            if mended.is_ok() {
                return admission.say(self.name, &format!("{text}; it is made anew"));
            }
        }
        if *told != text {
            admission.say(self.name, &format!("{}; trying again", with_causes(error)));
            *told = text;
        }
        admission.stop().wait(PAUSE);
    }
}

impl Source for StageSource {
    fn name(&self) -> &'static str {
        self.name
    }

    fn feed(&self, admission: &Admission) -> Intake {
        let mut claims = TokenClaims::new(&self.work.stage.from, self.work.place().owner());
        let mut told = String::new();
        while !admission.stop().is_requested() {
            if self.free_bytes_min > 0 && free_bytes(self.work.stage.from.root()) < self.free_bytes_min {
                let text = "the disk is nearly full: nothing new is begun";
                if told != text {
                    admission.say(self.name, text);
                    text.clone_into(&mut told);
                }
                admission.stop().wait(PAUSE);
                continue;
            }
            if !self.work.enter(LOOK) {
                continue;
            }
            match self.next(&mut claims, admission) {
                Ok(true) => told.clear(),
                Ok(false) => self.work.wait_for_tokens(LOOK),
                Err(error) => {
                    self.work.leave();
                    self.mend(&error, admission, &mut told);
                }
            }
        }
        // Claimed are more tokens than are worked on. Those that take longer wait again in their directory.
        let canceller = admission.queue.canceller();
        let left = self.work.wait_until_idle(END);
        left.iter().for_each(|claimed| canceller.cancel(self.request(claimed).id));
        Intake::Whole
    }
}
