//! What the targets share: a fence around memory, and a folder to write into.
//!
//! libFuzzer looks at memory once a second, and sees single allocations only with AddressSanitizer. This
//! fence stands at every allocation, also of memory that is never touched.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::abort;
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static FENCE: Fence = Fence { held: AtomicUsize::new(0) };

/// A deflated data set may have 64 MiB, pixels as much and 1024 times the input, and both be copied.
const AT_ONCE_BYTES_MAX: usize = 256 << 20;
const IN_ALL_BYTES_MAX: usize = 512 << 20;

struct Fence {
    held: AtomicUsize,
}

impl Fence {
    fn take(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if bytes > AT_ONCE_BYTES_MAX || held > IN_ALL_BYTES_MAX {
            // What prints would allocate, and come here again.
            self.held.store(0, Ordering::Relaxed);
            eprintln!("{bytes} bytes are asked for, {held} with those that are held");
            abort();
        }
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Fence {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.take(size);
        self.give_back(layout.size());
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        self.give_back(layout.size());
        unsafe { System.dealloc(place, layout) }
    }
}

/// Runs a target. What it gives is for seeds.
pub fn run(target: fn(&[u8]) -> bool, bytes: &[u8]) {
    target(bytes);
}

/// Runs a target in a folder of its own: one input must not meet what another left.
pub fn run_in_folder(target: fn(&Path, &[u8]) -> bool, bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    target(folder.path(), bytes);
}
