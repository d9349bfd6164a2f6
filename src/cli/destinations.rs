//! The destinations of `flow run`, with their retry policies and their verification.

use std::sync::Arc;

use crate::dicom::deliver::{self, ObjectDestination, ObjectTarget, ObjectVerifier};
use crate::dicom::site::{SENDER, VerifyMethod};
use crate::dicom::{AeTitle, DeliveredObjects, PeerAddress, RequestedCommitments};
use crate::outbox::{DeliveryPolicy, DestinationService};

use super::exit::{CommandError, CommandErrorKind};
use super::site::SiteSettings;

pub struct DestinationSetup<'a> {
    pub site: &'a SiteSettings,
    pub own_title: AeTitle,
    /// The retry policy of destinations for which the site's file gives none.
    pub policy: DeliveryPolicy,
    /// The commitments whose outcomes arrive at the listener, if there is one.
    pub commitments: Option<&'a Arc<RequestedCommitments>>,
    pub delivered: &'a Arc<DeliveredObjects>,
}

impl DestinationSetup<'_> {
    /// All destinations that the site's file and the command line name.
    pub fn all(&self, to: &[String], back_to: &[String]) -> Result<Vec<DestinationService>, CommandError> {
        let of_site = self.site.site.iter().flat_map(|site| &site.to);
        let (senders, named): (Vec<_>, Vec<_>) = of_site.partition(|to| *to == SENDER);
        let mut all = Vec::new();
        for name in named.into_iter().chain(to) {
            let ready = self.site.site.as_ref().and_then(|site| site.destination(name));
            all.push(match ready {
                Some(destination) => {
                    let (policy, alias) = (self.policy.clone(), Some(name.clone()));
                    DestinationService { destination, policy, alias }
                }
                None => self.forward(name)?,
            });
        }
        let mut nodes =
            if senders.is_empty() { Default::default() } else { self.site.by_title(&self.own_title)? };
        for name in back_to {
            let node = self.site.node(name, &self.own_title)?;
            nodes.insert(node.ae_title.to_string(), node);
        }
        if !nodes.is_empty() || !senders.is_empty() {
            // `to: [sender]` means all senders, `--back-to` the ones that it names.
            let target = match senders.is_empty() {
                true => ObjectTarget::SenderAmong(nodes),
                false => ObjectTarget::Sender(nodes),
            };
            let (policy, delivered) = (self.policy.clone(), Arc::clone(self.delivered));
            let destination = Arc::new(ObjectDestination { target, verifier: None, delivered });
            all.push(DestinationService { destination, policy, alias: Some(SENDER.to_owned()) });
        }
        Ok(all)
    }

    fn forward(&self, name: &str) -> Result<DestinationService, CommandError> {
        let known = self.site.known(name);
        let utc_offset_min = self.site.site.as_ref().map_or(0, |site| site.utc_offset_min);
        let policy =
            known.map_or_else(|| self.policy.clone(), |node| node.policy(&self.policy, utc_offset_min));
        let how = known.map_or(VerifyMethod::Query, |node| node.verify);
        let peer = self.site.peer(name, &self.own_title)?;
        let verifier = self.verifier(how, &peer);
        let (target, delivered) = (ObjectTarget::Peer(peer), Arc::clone(self.delivered));
        let destination = Arc::new(ObjectDestination { target, verifier, delivered });
        Ok(DestinationService { destination, policy, alias: Some(name.to_owned()) })
    }

    fn verifier(&self, how: VerifyMethod, peer: &PeerAddress) -> Option<ObjectVerifier> {
        match (how, peer) {
            (VerifyMethod::Nothing, _) => None,
            (VerifyMethod::Commitment, PeerAddress::Dimse(node)) => {
                Some(deliver::by_commitment(node, self.commitments.cloned()))
            }
            // DICOMweb services offer no storage commitment, so a query has to do.
            (VerifyMethod::Commitment | VerifyMethod::Query, _) => Some(deliver::by_query(peer)),
        }
    }
}

/// The error of a run without any destination.
pub fn missing() -> CommandError {
    let text = "responses would go nowhere: there is no destination";
    let failure = CommandError::new(CommandErrorKind::Usage, text);
    failure.hint("add --to, `to` in the --site file, or a folder with --output")
}
