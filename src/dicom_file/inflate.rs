//! Deflated data sets (PS3.5 annex A.5), inflated within a budget of the process.
//!
//! A short file may inflate to a thousand times its size. Up to [`FREE_BYTES`] each data set is inflated at
//! once; what is longer is measured first, and waits for its bytes in the budget. A thread that holds some of the
//! budget already, for example for the file that it inflates, could wait for itself: it goes beyond the budget, and of
//! such threads one at a time.
//!
//! The standard has no head before the deflated bytes (RFC 1951). Some programs write that of zlib (RFC 1950),
//! which is stepped over.

use std::cell::Cell;
use std::io::{Cursor, Read};
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Condvar, Mutex, MutexGuard};

use flate2::read::DeflateDecoder;

/// A data set of at most so many bytes takes nothing from the budget. Nearly every data set has its pixels
/// begin before.
pub const FREE_BYTES: usize = 1 << 20;

/// A reader of the inflated bytes, at most so many: a bomb has no end.
pub fn inflating<'a>(deflated: impl Read + 'a, bytes_max: u64) -> impl Read + 'a {
    decoder(deflated).take(bytes_max)
}

fn decoder(mut deflated: impl Read) -> DeflateDecoder<impl Read> {
    let mut begins = Vec::new();
    // An error is met again by whoever reads on.
    let _ = deflated.by_ref().take(HEAD_LOOK_BYTES).read_to_end(&mut begins);
    if has_zlib_head(&begins) {
        begins.drain(..2);
    }
    DeflateDecoder::new(Cursor::new(begins).chain(deflated))
}

/// The bytes that tell a head of zlib from a block of deflated data.
const HEAD_LOOK_BYTES: u64 = 5;

/// Whether deflated data begins with a head of zlib. Its first byte would otherwise begin a stored block, whose
/// length is written twice.
fn has_zlib_head(begins: &[u8]) -> bool {
    let &[first, second, ref rest @ ..] = begins else { return false };
    let is_head = first & 0x8F == 0x08 && u16::from_be_bytes([first, second]).is_multiple_of(31);
    let is_stored_block =
        matches!(*rest, [high, not_low, not_high] if second == !not_low && high == !not_high);
    is_head && second & 0x20 == 0 && !is_stored_block
}

/// A data set in memory, as long as it is needed.
pub struct InflatedBytes {
    bytes: Vec<u8>,
    pub end: InflatedEnd,
    _claim: Option<BudgetClaim<'static>>,
}

/// Where inflating ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflatedEnd {
    Whole,
    /// The rest cannot be inflated.
    Damaged,
    /// There is more than was to be inflated.
    TooLong,
}

impl Deref for InflatedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The first [`FREE_BYTES`] of a data set.
pub fn inflate_beginning(deflated: &[u8]) -> InflatedBytes {
    // Room for all of it at once: a buffer that grows takes three times as much for an instant.
    let (bytes, end) = read(deflated, FREE_BYTES as u64, Vec::with_capacity(FREE_BYTES));
    InflatedBytes { bytes, end, _claim: None }
}

/// At most `bytes_max` of a data set, as far as they can be inflated. May wait for others that inflate.
pub fn inflate(deflated: &[u8], bytes_max: u64) -> InflatedBytes {
    inflate_within(&BUDGET, deflated, bytes_max)
}

fn inflate_within(budget: &'static InflationBudget, deflated: &[u8], bytes_max: u64) -> InflatedBytes {
    let beginning = inflate_beginning(deflated);
    if beginning.end != InflatedEnd::TooLong {
        return beginning;
    }
    drop(beginning);
    let there = measure(deflated, bytes_max);
    let claim = budget.claim(there);
    let (bytes, end) = read(deflated, bytes_max, Vec::with_capacity(there as usize));
    InflatedBytes { bytes, end, _claim: Some(claim) }
}

fn read(deflated: &[u8], bytes_max: u64, mut bytes: Vec<u8>) -> (Vec<u8>, InflatedEnd) {
    let mut reader = decoder(deflated);
    if reader.by_ref().take(bytes_max).read_to_end(&mut bytes).is_err() {
        return (bytes, InflatedEnd::Damaged);
    }
    let more = bytes.len() as u64 == bytes_max && matches!(reader.read(&mut [0]), Ok(1));
    (bytes, if more { InflatedEnd::TooLong } else { InflatedEnd::Whole })
}

/// How long a data set is, as far as it can be inflated, or `bytes_max`.
fn measure(deflated: &[u8], bytes_max: u64) -> u64 {
    let (mut reader, mut buffer, mut bytes) = (inflating(deflated, bytes_max), vec![0; 64 << 10], 0);
    while let Ok(read @ 1..) = reader.read(&mut buffer) {
        bytes += read as u64;
    }
    bytes
}

/// Sets how many bytes the process may hold in inflated data sets, and in long headers of files. One that is
/// longer than all of it is held alone.
pub fn set_budget(bytes: u64) {
    BUDGET.lock().total = bytes;
}

/// Claims bytes for something else that is read at once, for example a long header. May wait.
pub fn claim(bytes: u64) -> Option<BudgetClaim<'static>> {
    (bytes > FREE_BYTES as u64).then(|| BUDGET.claim(bytes))
}

/// What no setting has changed.
pub const BUDGET_BYTES: u64 = 64 << 20;

static BUDGET: InflationBudget = InflationBudget::new(BUDGET_BYTES);

struct InflationBudget {
    state: Mutex<InflateClaims>,
    given_back: Condvar,
}

struct InflateClaims {
    total: u64,
    taken: u64,
    /// Whether a thread that has a claim has got another one.
    is_exceeded: bool,
    /// Whether a thread has a first claim that is longer than the budget.
    is_alone: bool,
    #[cfg(test)]
    peak: u64,
}

/// Bytes of the budget; dropping it gives them back.
pub struct BudgetClaim<'a> {
    budget: &'a InflationBudget,
    bytes: u64,
    level: ClaimLevel,
    /// The claim counts for its thread.
    _thread: PhantomData<*const ()>,
}

/// The place of a claim among those of its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClaimLevel {
    First,
    /// The first one, longer than the whole budget.
    Alone,
    Further,
}

thread_local! {
    /// How many claims this thread has.
    static CLAIMS: Cell<usize> = const { Cell::new(0) };
    /// How many of them are further ones.
    static FURTHER: Cell<usize> = const { Cell::new(0) };
    /// Whether one of them is longer than the budget.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

impl InflationBudget {
    const fn new(total: u64) -> InflationBudget {
        let state = InflateClaims {
            total,
            taken: 0,
            is_exceeded: false,
            is_alone: false,
            #[cfg(test)]
            peak: 0,
        };
        InflationBudget { state: Mutex::new(state), given_back: Condvar::new() }
    }

    /// Waits until the bytes are free. A thread that has a claim already waits for no bytes, which it might hold
    /// itself, but only until no other thread goes beyond the budget: with a further claim, or with one that is longer
    /// than all of it. It waits for nothing while it does so itself.
    fn claim(&self, wanted: u64) -> BudgetClaim<'_> {
        let mut state = self.lock();
        let bytes = wanted.min(state.total);
        let level = match CLAIMS.get() {
            0 if wanted > state.total => ClaimLevel::Alone,
            0 => ClaimLevel::First,
            _ => ClaimLevel::Further,
        };
        match level {
            ClaimLevel::First | ClaimLevel::Alone => {
                let is_full =
                    |state: &mut InflateClaims| state.taken > 0 && state.taken + bytes > state.total;
                state = self.given_back.wait_while(state, is_full).expect(NO_PANIC);
                state.is_alone |= level == ClaimLevel::Alone;
                ALONE.set(level == ClaimLevel::Alone);
            }
            ClaimLevel::Further => {
                if FURTHER.get() == 0 {
                    let is_beyond =
                        |state: &mut InflateClaims| state.is_exceeded || (state.is_alone && !ALONE.get());
                    state = self.given_back.wait_while(state, is_beyond).expect(NO_PANIC);
                }
                state.is_exceeded = true;
                FURTHER.set(FURTHER.get() + 1);
            }
        }
        state.taken += bytes;
        #[cfg(test)]
        {
            state.peak = state.peak.max(state.taken);
        }
        CLAIMS.set(CLAIMS.get() + 1);
        BudgetClaim { budget: self, bytes, level, _thread: PhantomData }
    }

    fn lock(&self) -> MutexGuard<'_, InflateClaims> {
        self.state.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "nothing panics while it holds the budget";

impl Drop for BudgetClaim<'_> {
    fn drop(&mut self) {
        CLAIMS.set(CLAIMS.get() - 1);
        let mut state = self.budget.lock();
        state.taken -= self.bytes;
        match self.level {
            ClaimLevel::First => {}
            ClaimLevel::Alone => {
                ALONE.set(false);
                state.is_alone = false;
            }
            ClaimLevel::Further => {
                FURTHER.set(FURTHER.get() - 1);
                state.is_exceeded = FURTHER.get() > 0;
            }
        }
        drop(state);
        self.budget.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, ZlibEncoder};

    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_head_of_zlib_is_stepped_over() {
        let bytes: Vec<u8> = (0..20_000_u32).map(|number| (number / 7) as u8).collect();
        for level in [Compression::none(), Compression::fast(), Compression::best()] {
            let mut zlib = ZlibEncoder::new(Vec::new(), level);
            zlib.write_all(&bytes).unwrap();
            let zlib = zlib.finish().unwrap();
            let mut raw = DeflateEncoder::new(Vec::new(), level);
            raw.write_all(&bytes).unwrap();
            for deflated in [zlib, raw.finish().unwrap()] {
                assert_eq!(*inflate(&deflated, MIB), bytes);
            }
        }
        // A stored block that begins as a head of zlib does.
        let stored = [&[0x78, 0x01, 0x00, 0xFE, 0xFF, b'a', 1, 1, 0, 0xFE, 0xFF, b'b'][..]].concat();
        assert_eq!(*inflate(&stored, MIB), *b"ab");
    }

    #[test]
    fn all_that_inflate_at_once_stay_within_the_budget() {
        static OWN: InflationBudget = InflationBudget::new(10 * MIB);
        let bomb = deflated(&vec![0; 4 << 20]);
        thread::scope(|scope| {
            for _ in 0..24 {
                scope.spawn(|| {
                    let inflated = inflate_within(&OWN, &bomb, 64 * MIB);
                    assert_eq!((inflated.len(), inflated.end), (4 << 20, InflatedEnd::Whole));
                    assert!(inflated.bytes.capacity() <= (4 << 20) + 64, "{}", inflated.bytes.capacity());
                });
            }
        });
        let state = OWN.lock();
        assert!((4 * MIB..=10 * MIB).contains(&state.peak), "{}", state.peak);
        assert_eq!(state.taken, 0);
    }

    #[test]
    fn of_threads_that_hold_some_of_the_budget_one_at_a_time_goes_beyond_it() {
        static OWN: InflationBudget = InflationBudget::new(10 * MIB);
        let bomb = deflated(&vec![0; 4 << 20]);
        let all_hold = std::sync::Barrier::new(20);
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let _file = OWN.claim(MIB / 4);
                    all_hold.wait();
                    for _ in 0..2 {
                        let first = inflate_within(&OWN, &bomb, 64 * MIB);
                        let second = inflate_within(&OWN, &bomb, 64 * MIB);
                        assert_eq!((first.len(), second.len()), (4 << 20, 4 << 20));
                    }
                });
            }
        });
        let state = OWN.lock();
        assert_eq!((state.peak, state.taken, state.is_exceeded), (13 * MIB, 0, false));
    }

    #[test]
    fn whoever_goes_beyond_the_budget_does_so_alone() {
        static OWN: InflationBudget = InflationBudget::new(2 * MIB);
        let going = std::sync::atomic::AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..16_u64 {
                let going = &going;
                scope.spawn(move || {
                    for _ in 0..200 {
                        // A file and its data set, or two data sets that are compared.
                        let (first, is_long) = if number % 2 == 0 { (MIB / 16, 0) } else { (4 * MIB, 1) };
                        let _first = OWN.claim(first);
                        let before = going.fetch_add(is_long, std::sync::atomic::Ordering::SeqCst);
                        assert!(is_long == 0 || before == 0, "{before} others beside a long one");
                        let _second = OWN.claim(4 * MIB);
                        if is_long == 0 {
                            let others = going.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            assert_eq!(others, 0, "beside a further one");
                            going.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        }
                        going.fetch_sub(is_long, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        let state = OWN.lock();
        assert_eq!((state.taken, state.is_exceeded, state.is_alone), (0, false, false));
    }

    #[test]
    fn what_is_longer_than_the_budget_is_alone_and_a_thread_does_not_wait_for_itself() {
        static OWN: InflationBudget = InflationBudget::new(2 * MIB);
        let bomb = deflated(&vec![0; 4 << 20]);
        let first = inflate_within(&OWN, &bomb, 3 * MIB);
        assert_eq!((first.len() as u64, first.end), (3 * MIB, InflatedEnd::TooLong));
        let second = inflate_within(&OWN, &bomb, 64 * MIB);
        assert_eq!(OWN.lock().taken, 4 * MIB);
        drop((first, second));
        assert_eq!(OWN.lock().taken, 0);
    }

    #[test]
    fn what_is_short_or_damaged_takes_nothing() {
        static OWN: InflationBudget = InflationBudget::new(MIB);
        let short = inflate_within(&OWN, &deflated(b"a data set"), MIB);
        assert_eq!((&*short, short.end), (b"a data set".as_slice(), InflatedEnd::Whole));
        let mut damaged = deflated(&[7; 1000]);
        damaged.truncate(damaged.len() - 3);
        damaged.push(0xFF);
        assert_eq!(inflate_within(&OWN, &damaged, MIB).end, InflatedEnd::Damaged);
        assert_eq!(OWN.lock().peak, 0);
        assert_eq!(inflate_beginning(&deflated(&vec![0; 4 << 20])).len(), FREE_BYTES);
    }
}
