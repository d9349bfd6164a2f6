//! A long array of numbers: what a volume's voxels and large sets of them lie in.
//!
//! Fresh memory costs a fault for every page that is touched first. On pages of 4 KiB the voxels of
//! a chest take 36 000 of them, which is more time than decoding the slices; on huge pages (Linux
//! gives them to who asks) 72. Where the system has none the array is the same, only slower.

use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

/// The usual size of a huge page. Linux puts an array of whole huge pages where they can be had.
const PAGE_BYTES: usize = 2 << 20;
/// Less is left to the allocator, which has it at hand.
const BYTES_LEAST: usize = PAGE_BYTES;

/// Numbers one behind the other; it does not grow.
pub struct Block<T>(Memory<T>);

enum Memory<T> {
    Allocated(Vec<T>),
    /// The pages, and how many of their bytes are in use.
    Mapped(MmapMut, usize),
}

impl<T: Pod> Block<T> {
    /// # Panics
    /// If the system has no memory for it.
    pub fn zeroed(length: usize) -> Block<T> {
        let bytes = length * size_of::<T>();
        if bytes < BYTES_LEAST {
            return vec![T::zeroed(); length].into();
        }
        let mapped = MmapMut::map_anon(bytes.next_multiple_of(PAGE_BYTES));
        let mapped =
            mapped.unwrap_or_else(|error| panic!("no memory for an array of {bytes} bytes: {error}"));
        // Advice: a system that does not take it gives its usual pages.
        #[cfg(target_os = "linux")]
        let _ = mapped.advise(memmap2::Advice::HugePage);
        Block(Memory::Mapped(mapped, bytes))
    }
}

impl<T> From<Vec<T>> for Block<T> {
    fn from(numbers: Vec<T>) -> Block<T> {
        Block(Memory::Allocated(numbers))
    }
}

impl<T> FromIterator<T> for Block<T> {
    fn from_iter<I: IntoIterator<Item = T>>(numbers: I) -> Block<T> {
        numbers.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T: Pod> Deref for Block<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Memory::Allocated(numbers) => numbers,
            Memory::Mapped(pages, bytes) => bytemuck::cast_slice(&pages[..*bytes]),
        }
    }
}

impl<T: Pod> DerefMut for Block<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Memory::Allocated(numbers) => numbers,
            Memory::Mapped(pages, bytes) => bytemuck::cast_slice_mut(&mut pages[..*bytes]),
        }
    }
}

impl<T: Pod> Clone for Block<T> {
    fn clone(&self) -> Block<T> {
        let mut copy = Block::zeroed(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Pod + PartialEq> PartialEq for Block<T> {
    fn eq(&self, other: &Block<T>) -> bool {
        **self == **other
    }
}

impl<T: Pod + Eq> Eq for Block<T> {}

impl<T: Pod + std::fmt::Debug> std::fmt::Debug for Block<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_are_the_same() {
        for length in [0, 1, 1000, BYTES_LEAST / 2 - 1, BYTES_LEAST / 2, BYTES_LEAST / 2 + 4097] {
            let mut block = Block::<i16>::zeroed(length);
            assert_eq!(block.len(), length);
            assert!(block.iter().all(|number| *number == 0));
            block.iter_mut().zip(1..).for_each(|(number, index)| *number = (index % 999 + 1) as i16);
            assert_eq!(block.iter().rposition(|number| *number != 0), length.checked_sub(1));
            let numbers = block.to_vec();
            assert!(block.clone() == block && block == Block::from(numbers));
        }
    }
}
