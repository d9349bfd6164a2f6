//! The storage provider: listens, holds associations, hands over complete studies.
//!
//! One thread accepts, each association has one, and one hands over. The number of associations,
//! the size of a PDU and of an instance, the time a peer may be silent and the bytes that wait to
//! be handed over are bounded; beyond a bound the peer gets the answer the standard has for it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::dicom::commitment::service::CommitmentService;
use crate::dicom::fetch::pull::pull;
use crate::dicom::intake::door::Door;
use crate::dicom::intake::event::{End, Event, Way};
use crate::dicom::intake::stop::Stop;
use crate::dicom::intake::studies::Next;
use crate::dicom::intake::{folder, inbox};
use crate::dicom::watch::watch;
use crate::dicom::web;
use crate::dicom::wire::association::refuse;
use crate::step::Request;

use super::conversation::{converse, secured};
use super::server::StorageServer;
use super::settings::Settings;

/// Receives studies until `stop` is requested, from whoever calls, and those that are asked for. Hands
/// each to `on_study` when it is complete; first what an earlier process had received and not handed over.
///
/// Where the settings say so, instances come over HTTP ([`web`]) and from watched folders as well.
///
/// `on_study` runs in one thread and may block: then complete studies wait, up to
/// `waiting_bytes_max`, and receiving goes on. At the stop, open associations are aborted; what was
/// released before is handed over without waiting for quiet, what was broken off stays in the inbox.
///
/// # Errors
/// If the inbox cannot be made or lies in a watched folder, or a listener has no address.
pub fn serve(
    listener: Option<&TcpListener>,
    settings: &Settings,
    stop: &Stop,
    on_study: impl FnMut(Request) + Send,
    on_event: impl Fn(&Event) + Sync,
) -> io::Result<()> {
    if let Some(listener) = listener {
        stop.watch(reachable(listener.local_addr()?));
    }
    let web = settings.web.as_ref().map(web::Server::open).transpose()?;
    if let Some(web) = &web {
        stop.watch(reachable(web.address()?));
    }
    let commitments =
        CommitmentService::open(&settings.inbox, settings.nodes.clone(), Arc::clone(&settings.commitments))?;
    let server = &StorageServer { settings, door: Door::open(settings.intake(), &on_event)?, commitments };
    let door = &server.door;
    if let Some(watched) = settings.watched.iter().find(|watched| watched.overlaps(&settings.inbox)) {
        let reason =
            format!("{} is watched, and the inbox lies in it or around it", watched.folder.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    door.inbox.number_after(&settings.known_folders)?;
    adopt(server)?;
    thread::scope(|scope| {
        let hand_over = || hand_over(door, stop, on_study);
        thread::Builder::new().name("dicom-studies".to_owned()).spawn_scoped(scope, hand_over)?;
        thread::Builder::new().name("dicom-count".to_owned()).spawn_scoped(scope, || count(server))?;
        let report = || server.commitments.reports.serve(stop, door.tell);
        thread::Builder::new().name("dicom-reports".to_owned()).spawn_scoped(scope, report)?;
        let beside = beside(scope, server, web, stop);
        if beside.is_err() {
            stop.request();
        }
        match listener {
            Some(listener) => accept(listener, server, stop),
            None => stop.until_requested(),
        }
        settings.commitments.close();
        let join = |thread: Beside| thread.join().expect("what goes wrong there is told as an error");
        let ended = beside.and_then(|threads| threads.into_iter().try_for_each(join));
        door.studies.end();
        ended
    })
}

/// What serves beside the associations.
type Beside<'scope> = ScopedJoinHandle<'scope, io::Result<()>>;

/// Starts what brings instances in other ways than by DIMSE; it runs until the stop.
fn beside<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &'a StorageServer,
    web: Option<web::Server<'a>>,
    stop: &'a Stop,
) -> io::Result<Vec<Beside<'scope>>> {
    let StorageServer { settings, door, commitments } = server;
    let mut threads = Vec::new();
    for watched in &settings.watched {
        let work = move || {
            watch(door, watched, stop);
            Ok(())
        };
        threads.push(thread::Builder::new().name("dicom-watch".to_owned()).spawn_scoped(scope, work)?);
    }
    if let Some(wanted) = &settings.pull {
        let work = move || {
            let _stop = StopAtEnd(stop);
            pull(door, commitments, wanted, stop);
            Ok(())
        };
        threads.push(thread::Builder::new().name("dicom-pull".to_owned()).spawn_scoped(scope, work)?);
    }
    if let Some(web) = web {
        let work = move || {
            // Whatever ends it, it does not end alone.
            let _stop = StopAtEnd(stop);
            web.serve(door, settings.idle_time_max, stop)
        };
        threads.push(thread::Builder::new().name("dicom-web".to_owned()).spawn_scoped(scope, work)?);
    }
    Ok(threads)
}

/// Takes up the studies that an earlier process had received and not handed over.
fn adopt(StorageServer { settings, door, .. }: &StorageServer) -> io::Result<()> {
    for folder in door.inbox.left_behind(&settings.known_folders)? {
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
        let end = if inbox::is_released(&folder) { End::Released } else { End::Aborted };
        (door.tell)(&Event::Adopted { instances: instances.len(), end });
        let senders = inbox::senders(&folder);
        door.studies.adopt(folder, instances, senders, end);
    }
    Ok(())
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

fn hand_over(door: &Door, stop: &Stop, mut on_study: impl FnMut(Request)) {
    // Without this thread nothing would ever be answered: if it ends, also by a panic, all ends.
    let _stop = StopAtEnd(stop);
    while let Some(next) = door.studies.next() {
        match next {
            Next::Complete(request, by) => {
                let bytes = request.size();
                (door.tell)(&Event::Complete { instances: request.items.len(), bytes, by });
                on_study(request);
                door.studies.handed_over(bytes);
            }
            Next::Discard { instances, folder } => {
                if let Err(error) = door.inbox.discard(&folder) {
                    tracing::warn!(%error, "received files that are not needed stay in the inbox");
                }
                (door.tell)(&Event::Discarded { instances });
            }
            Next::Waits { instances, folder } => (door.tell)(&Event::Waits { instances, folder }),
        }
    }
    for (instances, folder) in door.studies.kept() {
        (door.tell)(&Event::Kept { instances, folder });
    }
}

/// Asks the sources of studies that nobody is sending how many instances they have.
fn count(StorageServer { settings, door, .. }: &StorageServer) {
    let Some(count) = &settings.count else { return };
    let mut away_until = None;
    while let Some(uncounted) = door.studies.next_uncounted() {
        let asked = Instant::now();
        let told = match away_until {
            Some(until) if asked < until => None,
            _ => count(&uncounted.study_instance_uid, &uncounted.calling_aes),
        };
        // One that takes long to say nothing is away: others must not wait as long for the same.
        if told.is_none() && asked.elapsed() > AWAY_AFTER {
            away_until = Some(Instant::now() + AWAY);
        }
        door.studies.counted(&uncounted, told);
    }
}

const AWAY_AFTER: Duration = Duration::from_secs(2);

/// For so long a source that is away is not asked.
const AWAY: Duration = Duration::from_secs(60);

struct StopAtEnd<'a>(&'a Stop);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.request();
    }
}

/// Accepts connections until the stop; returns when all associations have ended.
fn accept(listener: &TcpListener, server: &StorageServer, stop: &Stop) {
    let guests = Guests::new(server.settings.associations_max);
    let refused = Guests::new(REFUSED_AT_ONCE_MAX);
    thread::scope(|scope| {
        while !stop.is_requested() {
            let accepted = listener.accept();
            if stop.is_requested() {
                break;
            }
            let welcomed =
                accepted.and_then(|(stream, peer)| welcome(scope, server, [&guests, &refused], stream, peer));
            if let Err(error) = welcomed {
                (server.door.tell)(&Event::NotAccepted { reason: error.to_string() });
                // Most likely there are too many open files: give some time to close.
                thread::sleep(Duration::from_millis(50));
            }
        }
        guests.send_off();
        refused.send_off();
    });
}

/// So many peers at once are told that there is no room; more are not even told.
const REFUSED_AT_ONCE_MAX: usize = 8;

fn welcome<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &'a StorageServer,
    [guests, refused]: [&'scope Guests; 2],
    stream: TcpStream,
    peer: SocketAddr,
) -> io::Result<()> {
    let StorageServer { settings, door, .. } = server;
    let callers = &settings.callers;
    if !callers.is_empty() && !callers.iter().any(|caller| caller.may_be_at(peer.ip())) {
        // Before it takes the place of one who may call. It has said nothing yet, so it gets no answer.
        let reason = "nobody at this address may call".to_owned();
        (door.tell)(&Event::TurnedAway { peer, reason });
        return Ok(());
    }
    let visit = door.visit(Way::Association);
    let number = visit.number;
    let thread = thread::Builder::new().name(format!("dicom-{number}"));
    if let Some(guest) = guests.enter(number, &stream)? {
        thread.spawn_scoped(scope, move || {
            converse(server, visit, stream, peer);
            drop(guest);
        })?;
        return Ok(());
    }
    let reason = "there are as many associations as allowed".to_owned();
    (door.tell)(&Event::TurnedAway { peer, reason });
    if let Some(guest) = refused.enter(number, &stream)? {
        thread.spawn_scoped(scope, move || {
            turn_away(settings, stream);
            drop(guest);
        })?;
    }
    Ok(())
}

/// Whatever fails here, the peer notices by itself.
fn turn_away(settings: &Settings, stream: TcpStream) {
    let silence_max = settings.idle_time_max.min(Duration::from_secs(5));
    let settings = Settings { idle_time_max: silence_max, ..settings.clone() };
    let _ = secured(&settings, stream).and_then(|stream| refuse(stream, silence_max));
}

/// The connections at one time, at most so many.
struct Guests {
    streams: Mutex<BTreeMap<u64, TcpStream>>,
    most: usize,
}

struct Guest<'a> {
    guests: &'a Guests,
    number: u64,
}

impl Guests {
    fn new(most: usize) -> Guests {
        Guests { streams: Mutex::default(), most }
    }

    fn enter(&self, number: u64, stream: &TcpStream) -> io::Result<Option<Guest<'_>>> {
        let mut streams = self.lock();
        if streams.len() >= self.most {
            return Ok(None);
        }
        streams.insert(number, stream.try_clone()?);
        Ok(Some(Guest { guests: self, number }))
    }

    /// Ends what every guest is waiting for: it then sees a closed connection, and can still send.
    fn send_off(&self) {
        for stream in self.lock().values() {
            // A peer that is gone already needs no sending off.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.streams.lock().expect("nothing panics while it holds the guests")
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.guests.lock().remove(&self.number);
    }
}
