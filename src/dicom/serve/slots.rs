//! The slots of peers: their number, and which peer loses its slot when all are taken.
//!
//! Associations have slots, and so have connections and requests over HTTP. As long as slots are free no peer
//! loses one. When all are taken, a new caller gets the slot of a peer that has been inactive: one that has
//! not negotiated yet, that only sends C-ECHO, or that sends an instance very slowly. An address with many
//! slots loses one sooner, to an address with fewer. Some slots are reserved for the site's nodes and for
//! callers whose addresses the site's file lists.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The slots of one kind.
#[derive(Clone)]
pub(in crate::dicom) struct ConnectionSlots {
    taken: Arc<Mutex<BTreeMap<u64, TakenSlot>>>,
    rules: SlotRules,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::dicom) struct SlotRules {
    pub most: usize,
    /// The number of slots that are reserved for known callers.
    pub kept: usize,
    /// The time of inactivity after which a peer may lose its slot.
    pub hold_time_max: Duration,
}

/// What is known of a caller before it has sent anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum CallerStanding {
    /// The address is that of a site's node, or of a caller that the site's file lists.
    Known,
    Unknown,
}

/// The reason why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum SlotEnd {
    /// Another peer gets its slot.
    Evicted,
    /// Receiving ends: no further message is awaited, and requests under way are still answered.
    Stopping,
}

struct TakenSlot {
    end: Box<dyn Fn(SlotEnd) + Send>,
    peer: SocketAddr,
    standing: CallerStanding,
    activity: Arc<SlotActivity>,
}

/// A slot; dropping it frees it.
pub(in crate::dicom) struct ConnectionSlot {
    slots: ConnectionSlots,
    number: u64,
    pub activity: Arc<SlotActivity>,
    /// The peer that has lost this slot, and the time for which it had been inactive.
    pub taken_from: Option<(SocketAddr, Duration)>,
}

/// The activity of a peer, as far as it counts for keeping its slot.
#[derive(Debug)]
pub(in crate::dicom) struct SlotActivity(Mutex<ActivityCount>);

#[derive(Debug)]
struct ActivityCount {
    /// The time of the peer's last activity that counts.
    last: Instant,
    bytes: usize,
    negotiated: bool,
    /// Whether the peer waits for us, because its data are being stored or answered.
    storing: bool,
}

/// The bytes of an instance that count as activity: a peer that sends fewer in `hold_time_max` counts as
/// inactive.
const BYTES_MIN: usize = 64 << 10;

/// The time after which a peer that has not negotiated may lose its slot, and also the least active peer of
/// an address with more than its share.
const SHORT_HOLD_TIME_MAX: Duration = Duration::from_secs(1);

impl Default for SlotActivity {
    fn default() -> SlotActivity {
        let last = Instant::now();
        SlotActivity(Mutex::new(ActivityCount { last, bytes: 0, negotiated: false, storing: false }))
    }
}

impl SlotActivity {
    /// Notes that the association was accepted.
    pub fn negotiated(&self) {
        let mut count = self.lock();
        (count.negotiated, count.last) = (true, Instant::now());
    }

    /// Notes received bytes of an instance.
    pub fn received(&self, bytes: usize) {
        let mut count = self.lock();
        count.bytes += bytes;
        if count.bytes >= BYTES_MIN {
            (count.bytes, count.last) = (0, Instant::now());
        }
    }

    /// Notes that received data are being stored or answered, and the peer has to wait.
    pub fn storing(&self) {
        self.lock().storing = true;
    }

    /// Notes that an instance has been stored, or a request answered.
    pub fn stored(&self) {
        let mut count = self.lock();
        (count.bytes, count.last, count.storing) = (0, Instant::now(), false);
    }

    /// Notes that the peer no longer waits for us, without counting that as activity.
    pub fn waiting(&self) {
        self.lock().storing = false;
    }

    /// The time of the last activity, and the time of inactivity after which the slot may be lost.
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
        ConnectionSlots { taken: Arc::default(), rules }
    }

    /// Takes a slot, if one is free or a peer has to give up its own. `end` ends the connection of the new
    /// peer, from any thread.
    pub fn enter(
        &self,
        number: u64,
        peer: SocketAddr,
        standing: CallerStanding,
        end: impl Fn(SlotEnd) + Send + 'static,
    ) -> Option<ConnectionSlot> {
        let mut taken = self.lock();
        let room = match standing {
            CallerStanding::Known => self.rules.most,
            CallerStanding::Unknown => self.rules.most - self.rules.kept,
        };
        let mut taken_from = None;
        if taken.len() >= room {
            let evicted = self.evicted(&taken, peer.ip(), standing)?;
            let TakenSlot { end, peer, activity, .. } = taken.remove(&evicted).expect("it was found there");
            end(SlotEnd::Evicted);
            taken_from = Some((peer, activity.idle(self.rules.hold_time_max).0.elapsed()));
        }
        let activity = Arc::<SlotActivity>::default();
        let end = Box::new(end);
        taken.insert(number, TakenSlot { end, peer, standing, activity: Arc::clone(&activity) });
        Some(ConnectionSlot { slots: self.clone(), number, activity, taken_from })
    }

    /// The peer that has to give up its slot for a caller at this address.
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
            // An unknown caller never gets the slot of a known one.
            let may = standing == CallerStanding::Known || slot.standing == CallerStanding::Unknown;
            (may && last.elapsed() >= limit)
                .then_some((slot.standing == CallerStanding::Unknown, Reverse(last)))
        };
        let ready = taken.iter().filter_map(|(number, slot)| Some((gives_up(slot)?, *number)));
        ready.max().map(|(_, number)| number)
    }

    /// Ends the wait for each peer's next message.
    pub fn shut_down(&self) {
        self.lock().values().for_each(|slot| (slot.end)(SlotEnd::Stopping));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, TakenSlot>> {
        self.taken.lock().expect("nothing panics while it holds the places")
    }
}

/// A function that ends the connection on a stream.
///
/// # Errors
/// There are too many open files.
pub(in crate::dicom) fn stream_end(stream: &TcpStream) -> io::Result<impl Fn(SlotEnd) + Send + 'static> {
    let stream = stream.try_clone()?;
    Ok(move |end| {
        let direction = match end {
            // Its thread finds a closed connection, and ends.
            SlotEnd::Evicted => Shutdown::Both,
            // Reading finds a closed connection, and sending still works.
            SlotEnd::Stopping => Shutdown::Read,
        };
        // An error means that the peer has gone already.
        let _ = stream.shutdown(direction);
    })
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(most: usize, kept: usize, hold_time_max: Duration) -> ConnectionSlots {
        ConnectionSlots::new(SlotRules { most, kept, hold_time_max })
    }

    fn enter(slots: &ConnectionSlots, number: u64, at: SocketAddr) -> Option<ConnectionSlot> {
        slots.enter(number, at, CallerStanding::Unknown, |_| {})
    }

    fn at(address: &str) -> SocketAddr {
        format!("{address}:9").parse().unwrap()
    }

    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn a_peer_that_brings_something_keeps_its_place_and_one_that_echoes_does_not() {
        let (slots, peer) = (slots(2, 0, Duration::ZERO), at("10.0.0.1"));
        let (first, second) = (enter(&slots, 1, peer).unwrap(), enter(&slots, 2, peer).unwrap());
        [&first, &second].iter().for_each(|slot| slot.activity.negotiated());
        second.activity.received(BYTES_MIN);
        let third = enter(&slots, 3, peer).expect("the first one has brought nothing for longer");
        assert_eq!(third.taken_from.unwrap().0, peer);
        assert!(!slots.lock().contains_key(&1) && slots.lock().contains_key(&2));
    }

    #[test]
    fn a_peer_whose_instance_is_being_stored_keeps_its_place() {
        let hold_time_max = Duration::from_millis(1);
        let slots = slots(1, 0, hold_time_max);
        let first = enter(&slots, 1, at("10.0.0.1")).unwrap();
        first.activity.negotiated();
        first.activity.storing();
        let begun = Instant::now();
        while begun.elapsed() < hold_time_max * 2 {
            std::thread::yield_now();
        }
        assert!(enter(&slots, 2, at("10.0.0.1")).is_none(), "the disk takes its time, not the peer");
        first.activity.waiting();
        assert!(enter(&slots, 3, at("10.0.0.1")).is_some(), "what is refused is worth no place");
    }

    #[test]
    fn nobody_loses_a_place_while_it_is_in_use() {
        let slots = slots(1, 0, NEVER);
        let first = enter(&slots, 1, at("10.0.0.1")).unwrap();
        first.activity.negotiated();
        assert!(enter(&slots, 2, at("10.0.0.2")).is_none());
        drop(first);
        assert!(enter(&slots, 3, at("10.0.0.2")).is_some());
    }

    #[test]
    fn an_address_with_more_than_its_share_gives_a_place_to_another_one_sooner() {
        let slots = slots(2, 0, NEVER);
        let held: Vec<ConnectionSlot> =
            [1, 2].map(|number| enter(&slots, number, at("10.0.0.1")).unwrap()).into();
        let long_ago = Instant::now().checked_sub(SHORT_HOLD_TIME_MAX).unwrap();
        for slot in &held {
            slot.activity.negotiated();
            slot.activity.lock().last = long_ago;
        }
        assert!(enter(&slots, 3, at("10.0.0.1")).is_none(), "it has its share");
        let other = enter(&slots, 4, at("10.0.0.2")).expect("the other address has none");
        assert_eq!(other.taken_from.unwrap().0, at("10.0.0.1"));
        assert!(enter(&slots, 5, at("10.0.0.3")).is_none(), "each has one");
    }

    #[test]
    fn places_are_kept_for_known_callers_and_not_taken_from_them() {
        let slots = slots(2, 1, Duration::ZERO);
        let known = slots.enter(1, at("10.0.0.1"), CallerStanding::Known, |_| {}).unwrap();
        assert!(enter(&slots, 2, at("10.0.0.2")).is_none());
        let second = slots.enter(3, at("10.0.0.3"), CallerStanding::Known, |_| {}).unwrap();
        assert!(known.taken_from.is_none() && second.taken_from.is_none());
    }
}
