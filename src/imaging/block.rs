//! A long array of numbers, for the voxels of a volume and large sets of voxels.
//!
//! New memory is expensive: the system clears it, and handles a page fault at each first access. For the
//! voxels of a chest that takes more time than decoding them. So a block uses huge pages where the system has
//! them (72 faults instead of 36 000), and its pages are used again after it is dropped
//! ([`pages`](super::pages)).

use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

use super::pages::{HugePages, PAGE_BYTES};

/// An array of numbers with a fixed length.
pub struct NumberBlock<T>(BlockMemory<T>);

enum BlockMemory<T> {
    /// Less than a huge page: taken from the usual allocator.
    Allocated(Vec<T>),
    /// The pages, and how many of their bytes are in use.
    Mapped(HugePages, usize),
}

impl<T: Pod> NumberBlock<T> {
    /// # Panics
    /// If the system has no memory for it.
    pub fn zeroed(length: usize) -> NumberBlock<T> {
        let mut block = NumberBlock::unset(length);
        let used = matches!(&block.0, BlockMemory::Mapped(pages, _) if !pages.are_zero());
        if used {
            block.fill(T::zeroed());
        }
        block
    }

    /// A block whose numbers the caller writes, all of them; until then their values are arbitrary.
    ///
    /// # Panics
    /// If the system has no memory for it.
    pub fn unset(length: usize) -> NumberBlock<T> {
        let bytes = length * size_of::<T>();
        if bytes < PAGE_BYTES {
            return vec![T::zeroed(); length].into();
        }
        NumberBlock(BlockMemory::Mapped(HugePages::take(bytes), bytes))
    }
}

impl<T> From<Vec<T>> for NumberBlock<T> {
    fn from(numbers: Vec<T>) -> NumberBlock<T> {
        NumberBlock(BlockMemory::Allocated(numbers))
    }
}

impl<T> FromIterator<T> for NumberBlock<T> {
    fn from_iter<I: IntoIterator<Item = T>>(numbers: I) -> NumberBlock<T> {
        numbers.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T: Pod> Deref for NumberBlock<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            BlockMemory::Allocated(numbers) => numbers,
            BlockMemory::Mapped(pages, bytes) => bytemuck::cast_slice(&pages[..*bytes]),
        }
    }
}

impl<T: Pod> DerefMut for NumberBlock<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            BlockMemory::Allocated(numbers) => numbers,
            BlockMemory::Mapped(pages, bytes) => bytemuck::cast_slice_mut(&mut pages[..*bytes]),
        }
    }
}

/// Serialized as one byte string, in the byte order of the machine: little endian on all that flow supports.
impl<T: Pod> Serialize for NumberBlock<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytemuck::cast_slice(self))
    }
}

impl<'de, T: Pod> Deserialize<'de> for NumberBlock<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NumberBlock<T>, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        let numbers = bytes.chunks_exact(size_of::<T>());
        if !numbers.remainder().is_empty() {
            return Err(D::Error::invalid_length(bytes.len(), &"whole numbers"));
        }
        let mut block = NumberBlock::unset(numbers.len());
        bytemuck::cast_slice_mut(&mut block).copy_from_slice(&bytes);
        Ok(block)
    }
}

impl<T: Pod> Clone for NumberBlock<T> {
    fn clone(&self) -> NumberBlock<T> {
        let mut copy = NumberBlock::unset(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Pod + PartialEq> PartialEq for NumberBlock<T> {
    fn eq(&self, other: &NumberBlock<T>) -> bool {
        **self == **other
    }
}

impl<T: Pod + Eq> Eq for NumberBlock<T> {}

impl<T: Pod + std::fmt::Debug> std::fmt::Debug for NumberBlock<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_are_the_same() {
        let page = PAGE_BYTES / 2;
        // Each length twice: the second time on pages that have been written before.
        for length in [0, 1, 1000, page - 1, page, page, page + 4097, page + 4097] {
            let mut block = NumberBlock::<i16>::zeroed(length);
            assert_eq!(block.len(), length);
            assert!(block.iter().all(|number| *number == 0));
            block.iter_mut().zip(1..).for_each(|(number, index)| *number = (index % 999 + 1) as i16);
            assert_eq!(block.iter().rposition(|number| *number != 0), length.checked_sub(1));
            let numbers = block.to_vec();
            assert!(block.clone() == block && block == NumberBlock::from(numbers));
        }
    }
}
