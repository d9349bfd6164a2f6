//! One association, from its negotiation to its end. Every storage class and every transfer syntax that can
//! be read is accepted. Memory is bounded, whatever the peer announces: by the buffer of the connection, and
//! by the part of a file that is read for its header, at most 64 MiB.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use crate::dicom::intake::event::{IntakeSession, ReceiverEvent};
use crate::dicom::intake::panics::guarded;
use crate::dicom::intake::sender::{InstanceSender, SessionUse};
use crate::dicom::serve::settings::ReceiveSettings;
use crate::dicom::wire::association::{AcceptanceTerms, Association, AssociationError, DicomStream, accept};

use super::provider::ServiceProvider;
use super::server::StorageServer;
use super::slots::SlotActivity;

/// Serves the association on a connection to its end.
pub(in crate::dicom) fn serve_association(
    server: &StorageServer,
    session: IntakeSession,
    stream: TcpStream,
    peer: SocketAddr,
    activity: &Arc<SlotActivity>,
) {
    hold(server, session, peer, activity, || secured(server.settings, stream));
}

/// Serves an association on a connection that [`secured`] gave, or on recorded bytes.
pub(in crate::dicom) fn hold(
    server: &StorageServer,
    session: IntakeSession,
    peer: SocketAddr,
    activity: &Arc<SlotActivity>,
    stream: impl FnOnce() -> Result<DicomStream, AssociationError>,
) {
    let StorageServer { settings, intake, commitments } = server;
    let mut association = match guarded(mistake, || establish(settings, stream()?, peer)) {
        Ok(association) => association,
        Err(broken) => return (intake.tell)(&ReceiverEvent::Rejected { peer, reason: broken.to_string() }),
    };
    let sender = InstanceSender {
        session,
        calling_ae: printable(&association.calling_ae),
        called_ae: printable(&association.called_ae),
        study_instance_uid: None,
        session_use: SessionUse::AsLongAsWanted,
    };
    (intake.tell)(&ReceiverEvent::Opened { session, peer, calling_ae: sender.calling_ae.clone() });
    activity.negotiated();
    let mut provider = ServiceProvider::new(intake, commitments, sender).with_activity(activity);
    let end = guarded(mistake, || provider.serve(&mut association));
    let end = match end {
        Ok(()) => association.release_agreed(),
        // Some senders keep an association open for instances that may follow later.
        Err(AssociationError::Silent) if provider.is_idle() && association.is_between_messages() => {
            association.abort();
            Ok(())
        }
        Err(broken) => {
            association.abort();
            Err(broken)
        }
    };
    provider.close(end);
}

fn mistake(reason: &str) -> AssociationError {
    AssociationError::Own(reason.to_owned())
}

/// The peer's AE titles as attributes and in messages.
fn printable(title: &str) -> String {
    title.chars().filter(|letter| (' '..='~').contains(letter) && *letter != '\\').collect()
}

fn establish(
    settings: &ReceiveSettings,
    stream: DicomStream,
    peer: SocketAddr,
) -> Result<Association, AssociationError> {
    let terms = AcceptanceTerms {
        ae_title: &settings.ae_title,
        called: settings.called,
        callers: &settings.callers,
        contexts_max: settings.contexts_max,
        pdu_bytes_max: settings.pdu_bytes_max,
        negotiation_max: settings.negotiation_time_max,
        silence_max: settings.idle_time_max,
    };
    accept(stream, peer.ip(), &terms)
}

/// Performs the TLS handshake, if the settings require TLS, within the time limit of the negotiation.
pub(in crate::dicom) fn secured(
    settings: &ReceiveSettings,
    stream: TcpStream,
) -> Result<DicomStream, AssociationError> {
    let Some(tls) = &settings.tls else { return Ok(DicomStream::Plain(stream)) };
    let time = settings.negotiation_time_max.min(settings.idle_time_max);
    stream.set_read_timeout(Some(time))?;
    stream.set_write_timeout(Some(time))?;
    let stream = tls.accept(stream).map_err(|error| AssociationError::Own(error.to_string()))?;
    Ok(DicomStream::Tls(stream))
}
