//! An allocator for a few long arrays, which uses huge pages again and again.
//!
//! Pages that are returned are kept for the next array of about that size. Kept and used pages together never
//! exceed the most that has been in use at once: kept pages go back to the system before more is taken from
//! it. So a bound on the memory in use is a bound on this allocator too.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

use memmap2::MmapMut;

/// The usual size of a huge page. Linux places an array of whole huge pages at addresses where huge pages are
/// possible.
pub const PAGE_BYTES: usize = 2 << 20;

/// Bytes that may lie idle in an array: of small arrays, nearly every other one would need new pages.
const IDLE_BYTES: usize = 2 * PAGE_BYTES;

/// Pages in use; dropping this returns them.
pub struct HugePages {
    memory: Option<MmapMut>,
    fresh: bool,
}

impl HugePages {
    /// Takes at least so many bytes, and at most an eighth or [`IDLE_BYTES`] more.
    ///
    /// # Panics
    /// If the system has no memory for them.
    pub fn take(bytes: usize) -> HugePages {
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        let found = keeper().find(bytes);
        if found.is_some() {
            return HugePages { memory: found, fresh: false };
        }
        let too_much = keeper().make_room(bytes);
        drop(too_much);
        HugePages { memory: Some(mapped(bytes)), fresh: true }
    }

    /// Whether the pages have never been written.
    pub fn are_zero(&self) -> bool {
        self.fresh
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            keeper().give_back(memory);
        }
    }
}

impl Deref for HugePages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }
}

impl DerefMut for HugePages {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }
}

fn mapped(bytes: usize) -> MmapMut {
    let memory = MmapMut::map_anon(bytes);
    let memory = memory.unwrap_or_else(|error| panic!("no memory for an array of {bytes} bytes: {error}"));
    // This is advice: a system that ignores it uses its usual pages.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    memory
}

static KEEPER: Mutex<PagePool> = Mutex::new(PagePool { kept: Vec::new(), in_use: 0, in_use_most: 0 });

fn keeper() -> MutexGuard<'static, PagePool> {
    KEEPER.lock().expect("nothing panics while it holds the keeper's lock")
}

/// Unused pages, the longest kept first, and the number of bytes in use.
struct PagePool {
    kept: Vec<MmapMut>,
    in_use: usize,
    in_use_most: usize,
}

impl PagePool {
    /// The smallest kept pages that are large enough.
    fn find(&mut self, bytes: usize) -> Option<MmapMut> {
        let most = bytes + IDLE_BYTES.max(bytes / 8);
        let fitting = self.kept.iter().enumerate().filter(|(_, one)| (bytes..=most).contains(&one.len()));
        let (index, _) = fitting.min_by_key(|(_, one)| one.len())?;
        let found = self.kept.remove(index);
        self.in_use += found.len();
        Some(found)
    }

    /// Counts new memory as in use. Returns the pages that must go back to the system for it.
    fn make_room(&mut self, bytes: usize) -> Vec<MmapMut> {
        self.in_use += bytes;
        self.in_use_most = self.in_use_most.max(self.in_use);
        let mut kept: usize = self.kept.iter().map(|one| one.len()).sum();
        let too_much = self.kept.iter().take_while(|one| {
            let over = self.in_use + kept > self.in_use_most;
            kept -= if over { one.len() } else { 0 };
            over
        });
        let count = too_much.count();
        self.kept.drain(..count).collect()
    }

    fn give_back(&mut self, memory: MmapMut) {
        self.in_use -= memory.len();
        self.kept.push(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(count: usize) -> MmapMut {
        MmapMut::map_anon(count * PAGE_BYTES).unwrap()
    }

    #[test]
    fn what_is_kept_never_adds_to_the_most_in_use() {
        let mut keeper = PagePool { kept: Vec::new(), in_use: 0, in_use_most: 0 };
        for count in [8, 4] {
            assert!(keeper.make_room(count * PAGE_BYTES).is_empty());
        }
        for count in [8, 4] {
            keeper.give_back(pages(count));
        }
        assert!(keeper.find(PAGE_BYTES).is_none(), "three quarters of it would lie idle");
        assert_eq!(keeper.find(7 * PAGE_BYTES).map(|found| found.len()), Some(8 * PAGE_BYTES));
        // 8 in use and 4 kept, of 12: one more is one too many.
        assert_eq!(keeper.make_room(PAGE_BYTES).len(), 1);
        assert_eq!((keeper.in_use, keeper.in_use_most), (9 * PAGE_BYTES, 12 * PAGE_BYTES));
        keeper.give_back(pages(8));
        assert!(keeper.make_room(3 * PAGE_BYTES).is_empty(), "4 in use and 8 kept, of 12");
        assert_eq!(keeper.make_room(PAGE_BYTES).len(), 1);
    }

    #[test]
    fn pages_given_back_serve_again() {
        let bytes = 37 * PAGE_BYTES;
        let mut first = HugePages::take(bytes);
        assert!(first.are_zero() && first.len() == bytes);
        first[bytes - 1] = 7;
        drop(first);
        let second = HugePages::take(bytes - 5);
        assert_eq!((second.are_zero(), second[bytes - 1]), (false, 7));
    }
}
