//! The destinations of `flow run`: where results go, how patiently, and how it is found out that they are safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::dicom::verify::{self, Found};
use crate::dicom::{AeTitle, Await, Commitments, Destination, Object, web};
use crate::outbox::{Forward, Policy, Target, Verified, Verify};
use crate::site::{self, SENDER};

use super::exit::Failure;
use super::site::{Peer, Settings};

pub struct Destinations<'a> {
    pub site: &'a Settings,
    pub own_title: AeTitle,
    /// Of those of which the site's file does not say more.
    pub policy: Policy,
    /// With a listener: where outcomes of commitments are awaited.
    pub commitments: Option<&'a Arc<Commitments>>,
}

/// Of one that calls back, the outcome is waited for so long. What comes later is found at the next try, and
/// meanwhile others are sent.
const CALL_TIME: Duration = Duration::from_secs(5);

impl Destinations<'_> {
    /// Those of the site's file and of the command line.
    pub fn all(&self, to: &[String], back_to: &[String]) -> Result<Vec<Forward>, Failure> {
        let of_site = self.site.site.iter().flat_map(|site| &site.to);
        let (senders, named): (Vec<_>, Vec<_>) = of_site.partition(|to| *to == SENDER);
        let mut all = Vec::new();
        for name in named.into_iter().chain(to) {
            all.push(self.forward(name)?);
        }
        let mut nodes =
            if senders.is_empty() { Default::default() } else { self.site.by_title(&self.own_title)? };
        for name in back_to {
            let node = self.site.node(name, &self.own_title)?;
            nodes.insert(node.ae_title.to_string(), node);
        }
        if !nodes.is_empty() || !senders.is_empty() {
            let (target, policy) = (Target::Sender(nodes), self.policy.clone());
            all.push(Forward { target, policy, verify: None });
        }
        Ok(all)
    }

    fn forward(&self, name: &str) -> Result<Forward, Failure> {
        let known = self.site.known(name);
        let utc_offset_min = self.site.site.as_ref().map_or(0, |site| site.utc_offset_min);
        let policy =
            known.map_or_else(|| self.policy.clone(), |node| node.policy(&self.policy, utc_offset_min));
        let how = known.map_or(site::Verify::Query, |node| node.verify);
        let peer = self.site.peer(name, &self.own_title)?;
        let verify = self.verify(how, &peer);
        let target = match peer {
            Peer::Dimse(node) => Target::Node(node),
            Peer::Web(node) => Target::Web(node),
        };
        Ok(Forward { target, policy, verify })
    }

    fn verify(&self, how: site::Verify, peer: &Peer) -> Option<Verify> {
        match (how, peer) {
            (site::Verify::Nothing, _) => None,
            (site::Verify::Commitment, Peer::Dimse(node)) => {
                Some(by_commitment(node, self.commitments.cloned()))
            }
            (site::Verify::Query, Peer::Dimse(node)) => Some(by_query(node)),
            // There is no commitment over HTTP that services have.
            (site::Verify::Commitment | site::Verify::Query, Peer::Web(node)) => Some(over_web(node)),
        }
    }
}

fn by_commitment(node: &Destination, commitments: Option<Arc<Commitments>>) -> Verify {
    let node = node.clone();
    // Transactions of this process must not have the UIDs of an earlier one's.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let attempts = AtomicU64::new(since.as_nanos() as u64);
    Arc::new(move |objects| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        let (answer, time) = match commitments.as_deref() {
            Some(commitments) => (Await::Listener(commitments), CALL_TIME),
            None => (Await::Here, verify::COMMITMENT_TIME),
        };
        let outcome = verify::committed(&node, objects, attempt, answer, time);
        let outcome = outcome.map_err(|error| format!("{}. {}", error.cause, error.remedy()))?;
        Ok(verified(objects, outcome))
    })
}

fn by_query(node: &Destination) -> Verify {
    let node = node.clone();
    Arc::new(move |objects| {
        let found = verify::found(&node, objects);
        let found = found.map_err(|error| format!("{}. {}", error.cause, error.remedy()))?;
        Ok(verified(objects, found))
    })
}

fn over_web(node: &web::Node) -> Verify {
    let node = node.clone();
    Arc::new(move |objects| {
        let found = verify::found_over_web(&node, objects);
        let found = found.map_err(|error| format!("{}. {}", error.cause, error.remedy()))?;
        Ok(verified(objects, found))
    })
}

/// In the order of the objects.
fn verified(objects: &[Object], mut found: Found) -> Vec<Verified> {
    let each = objects.iter().filter_map(|object| {
        let sop_instance_uid = object.sop_instance_uid().to_owned();
        let safe = found.remove(&sop_instance_uid)?;
        Some(Verified { sop_instance_uid, safe })
    });
    each.collect()
}
