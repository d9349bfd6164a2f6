//! One study being received: what of it is here, who sends it, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use crate::step::Request;

use super::SOURCE;
use super::completion::{Completion, Count, Left, Signal, Standing, Verdict};
use super::inbox;
use super::instance::{Instance, request};

pub(super) struct Arriving {
    pub folder: PathBuf,
    /// By file name, which says UID and digest: the same instance sent twice is there once.
    pub instances: BTreeMap<String, Instance>,
    pub visitors: BTreeSet<u64>,
    /// How many instances are on their way into the folder.
    pub moving: usize,
    pub calling_aes: BTreeSet<String>,
    pub called_aes: BTreeSet<String>,
    pub standing: Standing,
}

impl Arriving {
    pub fn new(folder: PathBuf, count: Count, now: Instant) -> Arriving {
        let standing = Standing {
            first_arrival: now,
            last_arrival: now,
            moving: false,
            attended: false,
            left: Left::Released,
            instances: 0,
            count,
            marks: 0,
            ordered: false,
            cap_told: false,
        };
        Arriving {
            folder,
            instances: BTreeMap::new(),
            visitors: BTreeSet::new(),
            moving: 0,
            calling_aes: BTreeSet::new(),
            called_aes: BTreeSet::new(),
            standing,
        }
    }

    pub fn leave(&mut self, visitor: u64, left: Left) {
        if self.visitors.remove(&visitor) {
            self.standing.left = left;
            if left != Left::Aborted && self.visitors.is_empty() {
                inbox::mark_released(&self.folder);
            }
        }
    }

    /// Whether an operator has said something.
    pub fn look(&mut self) {
        self.standing.ordered |= inbox::is_ordered(&self.folder);
    }

    pub fn due<'a>(
        &self,
        completion: &Completion,
        ended: bool,
        uid: &'a str,
    ) -> Option<(Instant, &'a str, Verdict)> {
        let standing = Standing {
            moving: self.moving > 0,
            attended: !self.visitors.is_empty(),
            instances: self.instances.len() as u64,
            ..self.standing.clone()
        };
        let (at, verdict) = completion.due(&standing)?;
        match verdict {
            // The rest may be sent to the next process.
            Verdict::HandOver(Signal::BrokenOff) if ended => None,
            Verdict::HandOver(Signal::QuietTime) if ended => {
                Some((self.standing.last_arrival, uid, Verdict::HandOver(Signal::End)))
            }
            verdict => Some((at, uid, verdict)).filter(|(at, ..)| !ended || *at <= Instant::now()),
        }
    }

    pub fn into_request(self, signal: Signal) -> Result<Request, PathBuf> {
        let joined = |titles: &BTreeSet<String>| titles.iter().cloned().collect::<Vec<_>>().join("\\");
        let aborted = self.standing.left == Left::Aborted || !self.visitors.is_empty();
        let attributes = [
            ("source", SOURCE),
            ("calling_ae", &joined(&self.calling_aes)),
            ("called_ae", &joined(&self.called_aes)),
            ("association", if aborted { "aborted" } else { "released" }),
            ("complete_by", signal.name()),
        ];
        request(self.instances.into_values().collect(), &attributes).ok_or(self.folder)
    }
}
