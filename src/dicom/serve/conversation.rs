//! One association, from its negotiation to its end.
//!
//! Any storage class and any transfer syntax that can be read is taken. Memory is bounded, whatever the
//! peer announces: by the buffer of the connection and by what is read of a file for its header, at
//! most 64 MiB.

use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::dicom::intake::event::{Event, Visit};
use crate::dicom::intake::visitor::Visitor;
use crate::dicom::serve::settings::Settings;
use crate::dicom::wire::association::{Association, Broken, Stream, Terms, accept};

use super::provider::Provider;
use super::server::StorageServer;

/// Holds the conversation on a connection to its end.
pub(in crate::dicom) fn converse(server: &StorageServer, visit: Visit, stream: TcpStream, peer: SocketAddr) {
    hold(server, visit, peer, || secured(server.settings, stream));
}

/// Holds it on what [`secured`] gives, or on what has been recorded.
pub(in crate::dicom) fn hold(
    server: &StorageServer,
    visit: Visit,
    peer: SocketAddr,
    stream: impl FnOnce() -> Result<Stream, Broken>,
) {
    let StorageServer { settings, door, commitments } = server;
    let mut association = match guarded(|| establish(settings, stream()?, peer)) {
        Ok(association) => association,
        Err(broken) => return (door.tell)(&Event::TurnedAway { peer, reason: broken.to_string() }),
    };
    let visitor = Visitor {
        visit,
        calling_ae: printable(&association.calling_ae),
        called_ae: printable(&association.called_ae),
        study_instance_uid: None,
    };
    (door.tell)(&Event::Opened { visit, peer, calling_ae: visitor.calling_ae.clone() });
    let mut provider = Provider::new(door, commitments, visitor);
    let end = guarded(|| provider.serve(&mut association));
    let end = match end {
        Ok(()) => association.release_agreed(),
        // There are senders that keep an association for what they may have later.
        Err(Broken::Silent) if provider.is_idle() && association.is_between_messages() => {
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

/// A panic, for example in a library on damaged input, ends this conversation and no other.
fn guarded<T>(work: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    let mistake = || Broken::Own("a mistake in flow, please report it".to_owned());
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(mistake()))
}

/// The peer's AE titles as attributes and in messages.
fn printable(title: &str) -> String {
    title.chars().filter(|letter| (' '..='~').contains(letter) && *letter != '\\').collect()
}

fn establish(settings: &Settings, stream: Stream, peer: SocketAddr) -> Result<Association, Broken> {
    let terms = Terms {
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

/// The handshake of TLS, where that is asked for, under the time limit of the negotiation.
pub(in crate::dicom) fn secured(settings: &Settings, stream: TcpStream) -> Result<Stream, Broken> {
    let Some(tls) = &settings.tls else { return Ok(Stream::Plain(stream)) };
    let time = settings.negotiation_time_max.min(settings.idle_time_max);
    stream.set_read_timeout(Some(time))?;
    stream.set_write_timeout(Some(time))?;
    let stream = tls.accept(stream).map_err(|error| Broken::Own(error.to_string()))?;
    Ok(Stream::Tls(stream))
}
