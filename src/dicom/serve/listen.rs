//! The storage provider: listens, holds associations, hands over complete studies.
//!
//! One thread accepts, each association has one, and one hands over. The number of associations,
//! the size of a PDU and of an instance, the time a peer may be silent and the bytes that wait to
//! be handed over are bounded; beyond a bound the peer gets the answer the standard has for it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::admission::StopSignal;
use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::fetch::order::serve_orders;
use crate::dicom::fetch::pull::PullService;
use crate::dicom::fetch::troubles::ArchiveTroubles;
use crate::dicom::intake::event::{AssociationEnd, ReceiverEvent, SessionKind};
use crate::dicom::intake::instance_intake::InstanceIntake;
use crate::dicom::intake::restore::restore;
use crate::dicom::intake::studies::StudyOutcome;
use crate::dicom::intake::{folder, inbox};
use crate::dicom::watch::watch;
use crate::dicom::web;
use crate::dicom::wire::association::refuse;
use crate::step::Request;

use super::known_addresses::KnownAddresses;
use super::server::StorageServer;
use super::session::{secured, serve_association};
use super::settings::ReceiveSettings;
use super::slots::{ConnectionSlots, SlotRules, stream_end};

/// Receives studies until `stop` is requested, sent by callers or fetched on request. Hands each to
/// `on_study` when it is complete; first the studies that an earlier process had received and not handed
/// over.
///
/// Where the settings say so, instances come over HTTP ([`web`]) and from watched folders as well.
///
/// `on_study` runs in one thread and may block: then complete studies wait, up to `waiting_bytes_max`, and
/// receiving goes on. At the stop, open associations are aborted. Studies of released associations are handed
/// over without waiting for the quiet time; studies of aborted ones stay in the inbox.
///
/// # Errors
/// If the inbox cannot be made or lies in a watched folder, or a listener has no address; and if the folder of a
/// complete study cannot be synced, which the next start takes up.
pub fn serve(
    listener: Option<&TcpListener>,
    settings: &ReceiveSettings,
    stop: &StopSignal,
    on_study: impl FnMut(Request) + Send,
    on_event: impl Fn(&ReceiverEvent) + Sync,
) -> io::Result<()> {
    if let Some(listener) = listener {
        end_accept_at(stop, listener.local_addr()?);
    }
    let web = settings.web.as_ref().map(web::WebServer::open).transpose()?;
    if let Some(web) = &web {
        end_accept_at(stop, web.address()?);
    }
    let commitments =
        CommitmentService::open(&settings.inbox, settings.nodes.clone(), Arc::clone(&settings.commitments))?;
    let server =
        &StorageServer { settings, intake: InstanceIntake::open(settings.intake(), &on_event)?, commitments };
    let intake = &server.intake;
    if let Some(watched) = settings.watched.iter().find(|watched| watched.overlaps(&settings.inbox)) {
        let reason =
            format!("{} is watched, and the inbox lies in it or around it", watched.folder.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    intake.inbox.number_after(&settings.known_folders)?;
    adopt(server)?;
    thread::scope(|scope| {
        let hand_over = || hand_over(intake, stop, on_study);
        let handing =
            thread::Builder::new().name("dicom-studies".to_owned()).spawn_scoped(scope, hand_over)?;
        thread::Builder::new().name("dicom-count".to_owned()).spawn_scoped(scope, || count(server))?;
        let report = || server.commitments.reports.serve(stop, intake.tell);
        thread::Builder::new().name("dicom-reports".to_owned()).spawn_scoped(scope, report)?;
        let beside = beside(scope, server, web, stop);
        if beside.is_err() {
            stop.request();
        }
        match listener {
            Some(listener) => accept(listener, server, stop),
            None => stop.wait_until_requested(),
        }
        settings.commitments.close();
        let join = |thread: IntakeThread| thread.join().expect("what goes wrong there is told as an error");
        let ended = beside.and_then(|threads| threads.into_iter().try_for_each(join));
        intake.studies.end();
        let handed_over = handing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ended.and(handed_over)
    })
}

/// A thread that receives instances in another way than by DIMSE.
type IntakeThread<'scope> = ScopedJoinHandle<'scope, io::Result<()>>;

/// Starts the threads that receive instances in other ways than by DIMSE; they run until the stop.
fn beside<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &'a StorageServer,
    web: Option<web::WebServer<'a>>,
    stop: &'a StopSignal,
) -> io::Result<Vec<IntakeThread<'scope>>> {
    let StorageServer { settings, intake, commitments } = server;
    let troubles = Arc::new(ArchiveTroubles::open(&settings.inbox)?);
    let mut threads = Vec::new();
    for watched in &settings.watched {
        let work = move || {
            watch(intake, watched, stop);
            Ok(())
        };
        threads.push(thread::Builder::new().name("dicom-watch".to_owned()).spawn_scoped(scope, work)?);
    }
    if let Some(wanted) = &settings.pull {
        let troubles = Arc::clone(&troubles);
        let work = move || {
            let _stop = StopAtEnd(stop);
            PullService { intake, commitments, troubles: &troubles, stop }.pull(wanted);
            Ok(())
        };
        threads.push(thread::Builder::new().name("dicom-pull".to_owned()).spawn_scoped(scope, work)?);
    }
    if let Some(planner) = &settings.planner {
        let work = move || {
            serve_orders(PullService { intake, commitments, troubles: &troubles, stop }, planner);
            Ok(())
        };
        threads.push(thread::Builder::new().name("dicom-orders".to_owned()).spawn_scoped(scope, work)?);
    }
    if let Some(web) = web {
        let work = move || {
            // Whatever ends it, it does not end alone.
            let _stop = StopAtEnd(stop);
            web.serve(intake, settings, stop)
        };
        threads.push(thread::Builder::new().name("dicom-web".to_owned()).spawn_scoped(scope, work)?);
    }
    Ok(threads)
}

/// Takes up the studies that an earlier process had received and not handed over.
fn adopt(StorageServer { settings, intake, .. }: &StorageServer) -> io::Result<()> {
    restore(&intake.inbox, &intake.inbox.left_behind(&settings.known_folders)?)?;
    for folder in intake.inbox.left_behind(&settings.known_folders)? {
        let mut instances = folder::instances(&folder)?;
        if let Some(expected) = &settings.completion.expected {
            for instance in &mut instances {
                instance.marks = expected.marks_of(instance.item.file()?)?;
            }
        }
        if instances.is_empty() {
            inbox::remove_empty(&folder);
            continue;
        }
        let end =
            if inbox::is_released(&folder) { AssociationEnd::Released } else { AssociationEnd::Aborted };
        (intake.tell)(&ReceiverEvent::Adopted { instances: instances.len(), end });
        let senders = inbox::senders(&folder);
        intake.studies.adopt(folder, instances, senders, end);
    }
    Ok(())
}

/// Ends a listener's wait for connections when the stop comes, by a connection to it.
fn end_accept_at(stop: &StopSignal, address: SocketAddr) {
    stop.when_requested(move || {
        // If no connection can be made, the listener has no room for one, and waits for none.
        let _ = TcpStream::connect_timeout(&reachable(address), Duration::from_secs(1));
    });
}

/// An address that leads to a listener on all interfaces, too.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn hand_over(
    intake: &InstanceIntake,
    stop: &StopSignal,
    mut on_study: impl FnMut(Request),
) -> io::Result<()> {
    // Without this thread nothing would ever be answered: if it ends, also by a panic, all ends.
    let _stop = StopAtEnd(stop);
    while let Some(next) = intake.studies.next() {
        match next {
            StudyOutcome::Complete(request, by) => {
                let bytes = request.size();
                if let Err(error) = inbox::sync_claims(&request.claims) {
                    // After a power cut the request would lack files; the next start takes all of them up.
                    let text = format!(
                        "the folder of a received study cannot be written to the disk: {error}; the next start takes \
                         the study up"
                    );
                    return Err(io::Error::new(error.kind(), text));
                }
                (intake.tell)(&ReceiverEvent::Complete { instances: request.items.len(), bytes, by });
                on_study(request);
                intake.studies.handed_over(bytes);
            }
            StudyOutcome::Discard { instances, folder } => {
                if let Err(error) = intake.inbox.discard(&folder) {
                    tracing::warn!(%error, "received files that are not needed stay in the inbox");
                }
                (intake.tell)(&ReceiverEvent::Discarded { instances });
            }
            StudyOutcome::Waits { instances, folder } => {
                (intake.tell)(&ReceiverEvent::Waits { instances, folder })
            }
        }
    }
    for (instances, folder) in intake.studies.kept() {
        (intake.tell)(&ReceiverEvent::Kept { instances, folder });
    }
    Ok(())
}

/// Asks sources for the number of instances of the studies that no sender is at work on.
fn count(StorageServer { settings, intake, .. }: &StorageServer) {
    let Some(count) = &settings.count else { return };
    let mut away_until = None;
    while let Some(uncounted) = intake.studies.next_uncounted() {
        let asked = Instant::now();
        let told = match away_until {
            Some(until) if asked < until => None,
            _ => count(&uncounted.study_instance_uid, &uncounted.calling_aes),
        };
        // One that takes long to say nothing is away: others must not wait as long for the same.
        if told.is_none() && asked.elapsed() > AWAY_AFTER {
            away_until = Some(Instant::now() + AWAY);
        }
        intake.studies.counted(&uncounted, told);
    }
}

const AWAY_AFTER: Duration = Duration::from_secs(2);

/// For so long a source that is away is not asked.
const AWAY: Duration = Duration::from_secs(60);

struct StopAtEnd<'a>(&'a StopSignal);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.request();
    }
}

/// Accepts connections until the stop; returns when all associations have ended.
fn accept(listener: &TcpListener, server: &StorageServer, stop: &StopSignal) {
    let settings = server.settings;
    let most = settings.associations_max;
    let known = KnownAddresses::new(&settings.callers, &settings.nodes);
    let kept = known.places(most);
    let hold_time_max = settings.hold_time_max;
    let slots = ConnectionSlots::new(SlotRules { most, kept, hold_time_max });
    let refused = ConnectionSlots::new(SlotRules { most: REFUSED_AT_ONCE_MAX, kept: 0, hold_time_max });
    let places = Places { slots: &slots, refused: &refused, known: &known };
    thread::scope(|scope| {
        // Names of hosts may take long to look up; nobody waits for that.
        scope.spawn(|| known.look_up(&settings.nodes));
        while !stop.is_requested() {
            let accepted = listener.accept();
            if stop.is_requested() {
                break;
            }
            let welcomed =
                accepted.and_then(|(stream, peer)| serve_connection(scope, server, places, stream, peer));
            if let Err(error) = welcomed {
                (server.intake.tell)(&ReceiverEvent::NotAccepted { reason: error.to_string() });
                // Most likely there are too many open files: give some time to close.
                thread::sleep(Duration::from_millis(50));
            }
        }
        slots.shut_down();
        refused.shut_down();
    });
}

/// The places that a caller may get.
#[derive(Clone, Copy)]
struct Places<'a> {
    slots: &'a ConnectionSlots,
    refused: &'a ConnectionSlots,
    known: &'a KnownAddresses,
}

/// So many peers at once are told that there is no room; more are not even told.
const REFUSED_AT_ONCE_MAX: usize = 8;

fn serve_connection<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &'a StorageServer,
    Places { slots, refused, known }: Places<'scope>,
    stream: TcpStream,
    peer: SocketAddr,
) -> io::Result<()> {
    let StorageServer { settings, intake, .. } = server;
    let callers = &settings.callers;
    if !callers.is_empty() && !callers.iter().any(|caller| caller.may_be_at(peer.ip())) {
        // Before it takes the place of one who may call. It has said nothing yet, so it gets no answer.
        let reason = "nobody at this address may call".to_owned();
        (intake.tell)(&ReceiverEvent::Rejected { peer, reason });
        return Ok(());
    }
    let session = intake.session(SessionKind::Association);
    let number = session.number;
    let thread = thread::Builder::new().name(format!("dicom-{number}"));
    let standing = known.standing(peer.ip());
    if let Some(slot) = slots.enter(number, peer, standing, stream_end(&stream)?) {
        if let Some((peer, idle)) = slot.taken_from {
            let reason = format!(
                "its slot was given to another caller: it had sent no instance for {} s",
                idle.as_secs()
            );
            (intake.tell)(&ReceiverEvent::Rejected { peer, reason });
        }
        thread.spawn_scoped(scope, move || {
            serve_association(server, session, stream, peer, &slot.activity);
            drop(slot);
        })?;
        return Ok(());
    }
    let reason = "there are as many associations as allowed".to_owned();
    (intake.tell)(&ReceiverEvent::Rejected { peer, reason });
    if let Some(slot) = refused.enter(number, peer, standing, stream_end(&stream)?) {
        thread.spawn_scoped(scope, move || {
            reject_connection(settings, stream);
            drop(slot);
        })?;
    }
    Ok(())
}

/// Rejects a connection. Errors are ignored: the peer notices them by itself.
fn reject_connection(settings: &ReceiveSettings, stream: TcpStream) {
    let silence_max = settings.idle_time_max.min(Duration::from_secs(5));
    let settings = ReceiveSettings { idle_time_max: silence_max, ..settings.clone() };
    let _ = secured(&settings, stream).and_then(|stream| refuse(stream, silence_max));
}
