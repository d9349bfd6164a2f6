//! Where the responses of a run go, and who is told about it.

use std::sync::Arc;

use crate::dicom::deliver::NotedDestination;
use crate::files::ResponseFolder;
use crate::journal::Journal;
use crate::outbox::{DeliveryClock, DeliveryPolicy, DestinationService, Outbox, OutboxObserver, OutboxSetup};

use super::super::audit::AuditRecorder;
use super::super::destinations::{self, DestinationSetup};
use super::super::exit::{CommandError, CommandErrorKind};
use super::super::listen::DicomLinks;
use super::super::monitor::RunMonitor;
use super::super::reporter::ResponseReporter;
use super::Run;

impl Run {
    /// The folder of responses, if there is to be one.
    pub(super) fn folder(&self) -> Result<Option<ResponseFolder>, CommandError> {
        let folder = self.chosen.output.as_ref().map(ResponseFolder::at).transpose();
        let folder = folder.map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        if let Some(folder) = folder.as_ref().filter(|_| self.processes.is_first()) {
            folder.tidy().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        }
        Ok(folder)
    }

    pub(super) fn outbox(
        &self,
        folder: Option<ResponseFolder>,
        journal: &Arc<Journal>,
        links: &DicomLinks,
        tell: OutboxObserver,
    ) -> Result<Outbox, CommandError> {
        let site = &self.site;
        let (quick, give_up_after) = (self.chosen.retry.clone(), self.chosen.keep_trying);
        let policy = DeliveryPolicy { quick, give_up_after, ..DeliveryPolicy::default() };
        let own_title = site.ae_title(self.listen.ae_title());
        let commitments = self.listen.address(site).map(|_| &links.commitments);
        let ways = DestinationSetup { site, own_title, policy, commitments, delivered: &links.delivered };
        let policy = ways.policy.clone();
        let folder = folder.map(|folder| {
            let (inner, delivered) = (Arc::new(folder), Arc::clone(&links.delivered));
            let destination = Arc::new(NotedDestination { inner, delivered });
            DestinationService { destination, policy, alias: Some("output".to_owned()) }
        });
        let mut destinations: Vec<DestinationService> = folder.into_iter().collect();
        destinations.extend(ways.all(&self.to, &self.back_to)?);
        if destinations.is_empty() {
            return Err(destinations::missing());
        }
        let setup = OutboxSetup {
            destinations,
            waits: self.chosen.retry.clone(),
            journal: Arc::clone(journal),
            clock: DeliveryClock::usual(),
            tell,
            control: Arc::clone(&self.control),
        };
        Ok(Outbox::open(setup)?)
    }

    pub(super) fn outbox_events(
        &self,
        reporter: &Arc<ResponseReporter>,
        auditor: &Arc<AuditRecorder>,
        monitor: &RunMonitor,
    ) -> OutboxObserver {
        let (reporter, auditor) = (Arc::clone(reporter), Arc::clone(auditor));
        let note = monitor.deliveries();
        Arc::new(move |event| {
            auditor.delivered(event);
            note(event);
            reporter.tell(event);
        })
    }
}
