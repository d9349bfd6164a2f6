//! The number of voxels with each CT number, and what follows from it exactly.
//!
//! Percentiles interpolate linearly between ranks (Hyndman, Fan 1996, type 7, numpy's default).

use serde::{Deserialize, Serialize};

use super::bits::WORD;
use super::{Volume, VoxelSet};

/// Voxels by CT number, from the lowest that occurs to the highest. No volume has 2³² voxels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoxelCounts {
    /// The CT number of the first count, and of the first voxel.
    lowest_hu: i32,
    /// A count for each CT number from the lowest on; the first and the last are not zero.
    counts: Vec<u32>,
}

impl VoxelCounts {
    /// Counts the voxels of a set.
    ///
    /// # Panics
    /// If the set is not on the volume's grid.
    pub fn of(volume: &Volume, set: &VoxelSet) -> VoxelCounts {
        assert_eq!(volume.size, set.size(), "a set on the volume's grid");
        let mut table = CountTable::default();
        for z in 0..volume.size[2] {
            for y in 0..volume.size[1] {
                let words = volume.row(y, z).chunks(WORD).zip(set.row(y, z));
                words.for_each(|(voxels, word)| table.add(voxels, *word));
            }
        }
        table.counts()
    }

    /// The counts of several regions together.
    pub fn sum<'a>(parts: impl IntoIterator<Item = &'a VoxelCounts>) -> VoxelCounts {
        let parts: Vec<&VoxelCounts> = parts.into_iter().filter(|part| !part.counts.is_empty()).collect();
        let Some(lowest_hu) = parts.iter().map(|part| part.lowest_hu).min() else {
            return VoxelCounts::default();
        };
        let place = |part: &VoxelCounts| (part.lowest_hu - lowest_hu) as usize;
        let length = parts.iter().map(|part| place(part) + part.counts.len()).max().unwrap_or(0);
        let mut counts = vec![0; length];
        for part in parts {
            let own = counts[place(part)..].iter_mut().zip(&part.counts);
            own.for_each(|(all, count)| *all += count);
        }
        VoxelCounts { lowest_hu, counts }
    }

    /// The number of voxels.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The CT numbers that occur, with their counts, in ascending order.
    pub fn occurring(&self) -> impl Iterator<Item = (i32, u64)> {
        let all = (self.lowest_hu..).zip(&self.counts);
        all.filter(|(_, count)| **count > 0).map(|(hu, count)| (hu, u64::from(*count)))
    }

    /// A sum over all voxels.
    pub fn sum_of(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.occurring().map(|(hu, count)| of(f64::from(hu)) * count as f64).sum()
    }

    /// A mean over all voxels.
    pub fn mean_of(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.sum_of(of) / self.total() as f64
    }

    /// The percentage of voxels whose CT number a rule accepts.
    pub fn percent(&self, accepts: impl Fn(f64) -> bool) -> f64 {
        let accepted = self.occurring().filter(|(hu, _)| accepts(f64::from(*hu)));
        100.0 * accepted.map(|(_, count)| count).sum::<u64>() as f64 / self.total() as f64
    }

    /// The CT number below which a share of the voxels lies; NaN without voxels.
    pub fn percentile(&self, share: f64) -> f64 {
        let Some(last) = self.total().checked_sub(1) else { return f64::NAN };
        let place = share * last as f64;
        let (low, high) = (self.ranked(place.floor() as u64), self.ranked(place.ceil() as u64));
        low + (high - low) * place.fract()
    }

    /// The CT number at a rank in ascending order, from 0 on.
    fn ranked(&self, place: u64) -> f64 {
        let mut before = 0;
        let found = self.occurring().find(|(_, count)| {
            before += count;
            before > place
        });
        found.map_or(f64::NAN, |(hu, _)| f64::from(hu))
    }
}

/// The lowest CT number of the table's window, and the number of its counts. Lungs lie within; others are rare.
const WINDOW_LOWEST: i32 = -2048;
const WINDOW_COUNTS: usize = 4096;

/// Counts in the making: a small window that stays in the cache, and the few voxels outside it.
#[derive(Clone, Debug)]
pub struct CountTable {
    window: Vec<u32>,
    outside: Vec<i16>,
}

impl Default for CountTable {
    fn default() -> CountTable {
        CountTable { window: vec![0; WINDOW_COUNTS], outside: Vec::new() }
    }
}

impl CountTable {
    /// Counts the voxels of a word. Full and empty words have a faster path, as most words are one or the other.
    pub fn add(&mut self, voxels: &[i16], word: u64) {
        match word {
            0 => {}
            u64::MAX => voxels.iter().for_each(|hu| self.add_one(*hu)),
            mut some => {
                while some != 0 {
                    self.add_one(voxels[some.trailing_zeros() as usize]);
                    some &= some - 1;
                }
            }
        }
    }

    fn add_one(&mut self, hu: i16) {
        match self.window.get_mut((i32::from(hu) - WINDOW_LOWEST) as usize) {
            Some(count) => *count += 1,
            None => self.outside.push(hu),
        }
    }

    /// Adds what another table has counted.
    pub fn merge(&mut self, other: &CountTable) {
        self.window.iter_mut().zip(&other.window).for_each(|(count, other)| *count += other);
        self.outside.extend_from_slice(&other.outside);
    }

    pub fn counts(&self) -> VoxelCounts {
        let counted = self.window.iter().any(|count| *count > 0);
        let places = (WINDOW_LOWEST..).zip(&self.window).filter(|(_, count)| **count > 0);
        let outside = self.outside.iter().map(|hu| i32::from(*hu));
        let all = places.map(|(hu, _)| hu).chain(outside.clone());
        let (lowest, highest) = all.fold((i32::MAX, i32::MIN), |(low, high), hu| (low.min(hu), high.max(hu)));
        if !counted && self.outside.is_empty() {
            return VoxelCounts::default();
        }
        let mut counts = vec![0; (highest - lowest + 1) as usize];
        let inside = (WINDOW_LOWEST..).zip(&self.window).filter(|(_, count)| **count > 0);
        inside.for_each(|(hu, count)| counts[(hu - lowest) as usize] = *count);
        outside.for_each(|hu| counts[(hu - lowest) as usize] += 1);
        VoxelCounts { lowest_hu: lowest, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_the_window_are_counted_too() {
        let voxels: Vec<i16> = vec![i16::MIN, -2049, -2048, 0, 2047, 2048, i16::MAX, 0];
        let mut table = CountTable::default();
        table.add(&voxels, 0b1111_1111);
        let mut other = CountTable::default();
        other.add(&voxels, 0b1000_0001);
        table.merge(&other);
        let counts = table.counts();
        let expected = [(-32768, 2), (-2049, 1), (-2048, 1), (0, 3), (2047, 1), (2048, 1), (32767, 1)];
        assert_eq!(counts.occurring().collect::<Vec<_>>(), expected);
        assert_eq!(VoxelCounts::sum([&counts, &VoxelCounts::default()]), counts);
        assert_eq!(VoxelCounts::sum([&counts, &counts]).total(), 20);
        assert!(VoxelCounts::default().percentile(0.5).is_nan());
    }
}
