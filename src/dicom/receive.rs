//! The storage provider: listens, holds associations, hands over complete studies.
//!
//! One thread accepts, each association has one, and one hands over. The number of associations,
//! the size of a PDU and of an instance, the time a peer may be silent and the bytes that wait to
//! be handed over are bounded; beyond a bound the peer gets the answer the standard has for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::step::Request;
use crate::tls;

use super::association::refuse;
use super::conversation::{converse, secured};
use super::door::Door;
use super::inbox;
use super::pull::{Pull, pull};
use super::studies::Next;
use super::watch::watch;
use super::{AeTitle, Caller, Commitments, Completion, Destination, End, Event, Watched, Way, folder, web};

/// How to receive. [`Settings::new`] gives the rest their defaults.
#[derive(Clone)]
pub struct Settings {
    pub ae_title: AeTitle,
    pub called: Called,
    /// Who may call; if nobody is named, everybody.
    pub callers: Vec<Caller>,
    /// With it, only encrypted connections are taken.
    pub tls: Option<tls::Server>,
    /// With it, instances are taken over HTTP too.
    pub web: Option<web::Settings>,
    /// Folders from which files are taken in.
    pub watched: Vec<Watched>,
    /// Where files lie until [`super::release`] deletes them.
    pub inbox: PathBuf,
    /// Folders of the inbox whose requests are recorded; what lies in others is taken up.
    pub known_folders: BTreeSet<PathBuf>,
    /// With less free on the disk of the inbox instances are refused: 0.
    pub free_bytes_min: u64,
    /// When a study is complete.
    pub completion: Completion,
    /// Says how many instances of a study its source has, by Study Instance UID and the AE titles of
    /// those who sent it: another signal that it is complete.
    pub count: Option<Counter>,
    /// Nodes by AE title: who asks us for a commitment is told its outcome there, or, if it is not
    /// among them, on the association on which it asks.
    pub nodes: BTreeMap<String, Destination>,
    /// Where outcomes of commitments that we have asked for are awaited.
    pub commitments: Arc<Commitments>,
    /// Studies to ask for. When all have been, receiving ends.
    pub pull: Option<Pull>,
    /// 16.
    pub associations_max: usize,
    /// 128, which is all there can be.
    pub contexts_max: usize,
    /// 128 KiB; the peer is told, and cut off if it sends more.
    pub pdu_bytes_max: u32,
    /// 4 GiB.
    pub instance_bytes_max: u64,
    /// How long a peer may take to say what it wants, which it knows before it calls: 10 s. Until then it
    /// takes the place of another.
    pub negotiation_time_max: Duration,
    /// How long a peer may be silent in the middle of an association: 60 s.
    pub idle_time_max: Duration,
    /// Bytes received and not handed over yet; beyond them instances are refused: 64 GiB.
    pub waiting_bytes_max: u64,
}

/// Asks a source for its count; `None` if it does not say. May take as long as a network does.
pub type Counter = Arc<dyn Fn(&str, &BTreeSet<String>) -> Option<u64> + Send + Sync>;

/// Which called AE titles are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    Ours,
    Any,
}

impl Settings {
    pub fn new(ae_title: AeTitle, inbox: PathBuf) -> Settings {
        Settings {
            ae_title,
            called: Called::Ours,
            callers: Vec::new(),
            tls: None,
            web: None,
            watched: Vec::new(),
            inbox,
            known_folders: BTreeSet::new(),
            free_bytes_min: 0,
            completion: Completion::default(),
            count: None,
            nodes: BTreeMap::new(),
            commitments: Arc::default(),
            pull: None,
            associations_max: 16,
            contexts_max: 128,
            pdu_bytes_max: 128 << 10,
            instance_bytes_max: 4 << 30,
            negotiation_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(60),
            waiting_bytes_max: 64 << 30,
        }
    }
}

/// Ends [`serve`], from any thread.
#[derive(Debug, Default)]
pub struct Stop {
    stopping: Mutex<Stopping>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Stopping {
    requested: bool,
    /// Where listeners wait for a connection.
    listeners: Vec<SocketAddr>,
}

impl Stop {
    pub fn request(&self) {
        let waiting = {
            let mut stopping = self.lock();
            stopping.requested = true;
            self.changed.notify_all();
            std::mem::take(&mut stopping.listeners)
        };
        for address in waiting {
            // Any connection wakes a listener; if there is none to be had, it is awake.
            let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        }
    }

    /// Waits so long, or until the stop. Gives whether it is requested.
    pub fn wait(&self, time: Duration) -> bool {
        let stopping = self.lock();
        let waited = self.changed.wait_timeout_while(stopping, time, |stopping| !stopping.requested);
        waited.expect("nothing panics while it holds this").0.requested
    }

    fn until_requested(&self) {
        let stopping = self.lock();
        let waited = self.changed.wait_while(stopping, |stopping| !stopping.requested);
        drop(waited.expect("nothing panics while it holds this"));
    }

    fn watch(&self, listener: SocketAddr) {
        self.lock().listeners.push(listener);
    }

    pub(super) fn is_requested(&self) -> bool {
        self.lock().requested
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stopping> {
        self.stopping.lock().expect("nothing panics while it holds this")
    }
}

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
    let door = &Door::open(settings, &on_event)?;
    if let Some(watched) = settings.watched.iter().find(|watched| watched.overlaps(&settings.inbox)) {
        let reason =
            format!("{} is watched, and the inbox lies in it or around it", watched.folder.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    door.inbox.number_after(&settings.known_folders)?;
    adopt(door)?;
    thread::scope(|scope| {
        let hand_over = || hand_over(door, stop, on_study);
        thread::Builder::new().name("dicom-studies".to_owned()).spawn_scoped(scope, hand_over)?;
        thread::Builder::new().name("dicom-count".to_owned()).spawn_scoped(scope, || count(door))?;
        let report = || door.reports.serve(stop, door.tell);
        thread::Builder::new().name("dicom-reports".to_owned()).spawn_scoped(scope, report)?;
        let beside = beside(scope, door, web, stop);
        if beside.is_err() {
            stop.request();
        }
        match listener {
            Some(listener) => accept(listener, door, stop),
            None => stop.until_requested(),
        }
        door.settings.commitments.close();
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
    door: &'a Door,
    web: Option<web::Server<'a>>,
    stop: &'a Stop,
) -> io::Result<Vec<Beside<'scope>>> {
    let mut threads = Vec::new();
    for watched in &door.settings.watched {
        let work = move || {
            watch(door, watched, stop);
            Ok(())
        };
        threads.push(thread::Builder::new().name("dicom-watch".to_owned()).spawn_scoped(scope, work)?);
    }
    if let Some(wanted) = &door.settings.pull {
        let work = move || {
            let _stop = StopAtEnd(stop);
            pull(door, wanted, stop);
            Ok(())
        };
        threads.push(thread::Builder::new().name("dicom-pull".to_owned()).spawn_scoped(scope, work)?);
    }
    if let Some(web) = web {
        let work = move || {
            // Whatever ends it, it does not end alone.
            let _stop = StopAtEnd(stop);
            web.serve(door, stop)
        };
        threads.push(thread::Builder::new().name("dicom-web".to_owned()).spawn_scoped(scope, work)?);
    }
    Ok(threads)
}

/// Takes up the studies that an earlier process had received and not handed over.
fn adopt(door: &Door) -> io::Result<()> {
    for folder in door.inbox.left_behind(&door.settings.known_folders)? {
        let mut instances = folder::instances(&folder)?;
        if let Some(expected) = &door.settings.completion.expected {
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
fn count(door: &Door) {
    let Some(count) = &door.settings.count else { return };
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
fn accept(listener: &TcpListener, door: &Door, stop: &Stop) {
    let guests = Guests::new(door.settings.associations_max);
    let refused = Guests::new(REFUSED_AT_ONCE_MAX);
    thread::scope(|scope| {
        while !stop.is_requested() {
            let accepted = listener.accept();
            if stop.is_requested() {
                break;
            }
            let welcomed =
                accepted.and_then(|(stream, peer)| welcome(scope, door, [&guests, &refused], stream, peer));
            if let Err(error) = welcomed {
                (door.tell)(&Event::NotAccepted { reason: error.to_string() });
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
    door: &'a Door,
    [guests, refused]: [&'scope Guests; 2],
    stream: TcpStream,
    peer: SocketAddr,
) -> io::Result<()> {
    let callers = &door.settings.callers;
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
            converse(door, visit, stream, peer);
            drop(guest);
        })?;
        return Ok(());
    }
    let reason = "there are as many associations as allowed".to_owned();
    (door.tell)(&Event::TurnedAway { peer, reason });
    if let Some(guest) = refused.enter(number, &stream)? {
        thread.spawn_scoped(scope, move || {
            turn_away(door, stream);
            drop(guest);
        })?;
    }
    Ok(())
}

/// Whatever fails here, the peer notices by itself.
fn turn_away(door: &Door, stream: TcpStream) {
    let silence_max = door.settings.idle_time_max.min(Duration::from_secs(5));
    let settings = Settings { idle_time_max: silence_max, ..door.settings.clone() };
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
