//! The places of associations: how many there are, and who gives a place up when all are taken.
//!
//! As long as places are free nobody loses one. When all are taken, a caller that comes gets the place of a
//! peer that has brought nothing for a while: of one that has not said what it wants, of one that only
//! echoes, or of one that sends an instance byte by byte. An address that has many places gives one up
//! sooner, to an address that has fewer. Some places are kept for the nodes of the site and callers whose
//! addresses it names.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The connections at one time.
pub(super) struct ConnectionSlots {
    taken: Mutex<BTreeMap<u64, TakenSlot>>,
    rules: SlotRules,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SlotRules {
    pub most: usize,
    /// Of these, kept for known callers.
    pub kept: usize,
    /// How long a peer may bring nothing while others want its place.
    pub hold_time_max: Duration,
}

/// A caller, as far as it is known before it has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallerStanding {
    /// At an address of a node of the site, or of a caller that it names.
    Known,
    Unknown,
}

struct TakenSlot {
    stream: TcpStream,
    peer: SocketAddr,
    standing: CallerStanding,
    activity: Arc<SlotActivity>,
}

/// A place; dropping it gives it up.
pub(super) struct ConnectionSlot<'a> {
    slots: &'a ConnectionSlots,
    number: u64,
    pub activity: Arc<SlotActivity>,
    /// The peer that has lost the place, and how long it had brought nothing.
    pub taken_from: Option<(SocketAddr, Duration)>,
}

/// What a peer has brought, as far as it earns it a place.
#[derive(Debug)]
pub(in crate::dicom) struct SlotActivity(Mutex<ActivityCount>);

#[derive(Debug)]
struct ActivityCount {
    /// When the peer last brought something worth a place.
    last: Instant,
    bytes: usize,
    negotiated: bool,
    /// A whole instance is being stored: the peer can bring nothing until it is answered.
    storing: bool,
}

/// So many bytes of an instance are worth a place: less in `hold_time_max` is no sending.
const BYTES_MIN: usize = 64 << 10;

/// A peer that has not said what it wants, which it knows before it calls, gives up its place after this
/// time, and so does the idlest one of an address with more than its share.
const SHORT_HOLD_TIME_MAX: Duration = Duration::from_secs(1);

impl Default for SlotActivity {
    fn default() -> SlotActivity {
        let last = Instant::now();
        SlotActivity(Mutex::new(ActivityCount { last, bytes: 0, negotiated: false, storing: false }))
    }
}

impl SlotActivity {
    /// The association is agreed on.
    pub fn negotiated(&self) {
        let mut count = self.lock();
        (count.negotiated, count.last) = (true, Instant::now());
    }

    /// Bytes of an instance have come.
    pub fn received(&self, bytes: usize) {
        let mut count = self.lock();
        count.bytes += bytes;
        if count.bytes >= BYTES_MIN {
            (count.bytes, count.last) = (0, Instant::now());
        }
    }

    /// A whole instance has come and is being stored.
    pub fn storing(&self) {
        self.lock().storing = true;
    }

    /// The instance has been stored.
    pub fn stored(&self) {
        let mut count = self.lock();
        (count.bytes, count.last, count.storing) = (0, Instant::now(), false);
    }

    /// The instance has been refused, which is worth no place.
    pub fn refused(&self) {
        self.lock().storing = false;
    }

    /// Since when nothing has come, and after what time that loses the place.
    fn idle(&self, hold_time_max: Duration) -> (Instant, Duration) {
        let count = self.lock();
        let last = if count.storing { Instant::now() } else { count.last };
        (last, if count.negotiated { hold_time_max } else { SHORT_HOLD_TIME_MAX.min(hold_time_max) })
    }

    fn lock(&self) -> MutexGuard<'_, ActivityCount> {
        self.0.lock().expect("nothing panics while it counts")
    }
}

impl ConnectionSlots {
    pub fn new(rules: SlotRules) -> ConnectionSlots {
        ConnectionSlots { taken: Mutex::default(), rules }
    }

    /// A place, if one is free or a peer has to give up its own.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn enter(
        &self,
        number: u64,
        stream: &TcpStream,
        peer: SocketAddr,
        standing: CallerStanding,
    ) -> io::Result<Option<ConnectionSlot<'_>>> {
        let stream = stream.try_clone()?;
        let mut taken = self.lock();
        let room = match standing {
            CallerStanding::Known => self.rules.most,
            CallerStanding::Unknown => self.rules.most - self.rules.kept,
        };
        let mut taken_from = None;
        if taken.len() >= room {
            let Some(evicted) = self.evicted(&taken, peer.ip(), standing) else { return Ok(None) };
            let TakenSlot { stream, peer, activity, .. } =
                taken.remove(&evicted).expect("it was found there");
            // Its thread finds a closed connection, and ends.
            let _ = stream.shutdown(Shutdown::Both);
            taken_from = Some((peer, activity.idle(self.rules.hold_time_max).0.elapsed()));
        }
        let activity = Arc::<SlotActivity>::default();
        taken.insert(number, TakenSlot { stream, peer, standing, activity: Arc::clone(&activity) });
        Ok(Some(ConnectionSlot { slots: self, number, activity, taken_from }))
    }

    /// The peer that has to give up its place for a caller at this address.
    fn evicted(
        &self,
        taken: &BTreeMap<u64, TakenSlot>,
        address: IpAddr,
        standing: CallerStanding,
    ) -> Option<u64> {
        let held = |address: IpAddr| taken.values().filter(|slot| slot.peer.ip() == address).count();
        let own = held(address);
        let gives_up = |slot: &TakenSlot| {
            let (last, limit) = slot.activity.idle(self.rules.hold_time_max);
            let exceeds_share = slot.standing == CallerStanding::Unknown && held(slot.peer.ip()) > own + 1;
            let limit = if exceeds_share { limit.min(SHORT_HOLD_TIME_MAX) } else { limit };
            // The place of a known caller is not for an unknown one.
            let may = standing == CallerStanding::Known || slot.standing == CallerStanding::Unknown;
            (may && last.elapsed() >= limit)
                .then_some((slot.standing == CallerStanding::Unknown, Reverse(last)))
        };
        let ready = taken.iter().filter_map(|(number, slot)| Some((gives_up(slot)?, *number)));
        ready.max().map(|(_, number)| number)
    }

    /// Ends the wait for each peer's next message: reading then finds a closed connection, and sending still
    /// works.
    pub fn shut_down(&self) {
        for slot in self.lock().values() {
            // A peer that is gone already needs no sending off.
            let _ = slot.stream.shutdown(Shutdown::Read);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, TakenSlot>> {
        self.taken.lock().expect("nothing panics while it holds the places")
    }
}

impl Drop for ConnectionSlot<'_> {
    fn drop(&mut self) {
        self.slots.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn slots(most: usize, kept: usize, hold_time_max: Duration) -> ConnectionSlots {
        ConnectionSlots::new(SlotRules { most, kept, hold_time_max })
    }

    fn stream() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }

    fn at(address: &str) -> SocketAddr {
        format!("{address}:9").parse().unwrap()
    }

    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn a_peer_that_brings_something_keeps_its_place_and_one_that_echoes_does_not() {
        let (slots, peer) = (slots(2, 0, Duration::ZERO), at("10.0.0.1"));
        let enter = |number, peer| slots.enter(number, &stream(), peer, CallerStanding::Unknown).unwrap();
        let (first, second) = (enter(1, peer).unwrap(), enter(2, peer).unwrap());
        [&first, &second].iter().for_each(|slot| slot.activity.negotiated());
        second.activity.received(BYTES_MIN);
        let third = enter(3, peer).expect("the first one has brought nothing for longer");
        assert_eq!(third.taken_from.unwrap().0, peer);
        assert!(!slots.lock().contains_key(&1) && slots.lock().contains_key(&2));
    }

    #[test]
    fn a_peer_whose_instance_is_being_stored_keeps_its_place() {
        let hold_time_max = Duration::from_millis(1);
        let slots = slots(1, 0, hold_time_max);
        let enter = |number| slots.enter(number, &stream(), at("10.0.0.1"), CallerStanding::Unknown).unwrap();
        let first = enter(1).unwrap();
        first.activity.negotiated();
        first.activity.storing();
        let begun = Instant::now();
        while begun.elapsed() < hold_time_max * 2 {
            std::thread::yield_now();
        }
        assert!(enter(2).is_none(), "the disk takes its time, not the peer");
        first.activity.refused();
        assert!(enter(3).is_some(), "what is refused is worth no place");
    }

    #[test]
    fn nobody_loses_a_place_while_it_is_in_use() {
        let slots = slots(1, 0, NEVER);
        let first = slots.enter(1, &stream(), at("10.0.0.1"), CallerStanding::Unknown).unwrap().unwrap();
        first.activity.negotiated();
        assert!(slots.enter(2, &stream(), at("10.0.0.2"), CallerStanding::Unknown).unwrap().is_none());
        drop(first);
        assert!(slots.enter(3, &stream(), at("10.0.0.2"), CallerStanding::Unknown).unwrap().is_some());
    }

    #[test]
    fn places_are_kept_for_known_callers_and_not_taken_from_them() {
        let slots = slots(2, 1, Duration::ZERO);
        let known = slots.enter(1, &stream(), at("10.0.0.1"), CallerStanding::Known).unwrap().unwrap();
        assert!(slots.enter(2, &stream(), at("10.0.0.2"), CallerStanding::Unknown).unwrap().is_none());
        let second = slots.enter(3, &stream(), at("10.0.0.3"), CallerStanding::Known).unwrap().unwrap();
        assert!(known.taken_from.is_none() && second.taken_from.is_none());
    }
}
