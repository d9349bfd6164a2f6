//! A set of voxels as it is kept: the box around its voxels. The lungs fill a third of their volume, the airways
//! far less.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{VoxelBounds, VoxelSet, WORD};
use crate::imaging::NumberBlock;

/// The box's first column is a multiple of 64.
#[derive(Serialize, Deserialize)]
struct StoredSet {
    size: [usize; 3],
    low: [usize; 3],
    high: [usize; 3],
    words: NumberBlock<u64>,
}

impl Serialize for VoxelSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut bounds, mut words) = (VoxelBounds { low: [0; 3], high: [0; 3] }, Vec::new().into());
        if let Some(around) = self.bounds() {
            bounds = around;
            bounds.low[0] -= bounds.low[0] % WORD;
            words = self.crop(&bounds).words;
        }
        let VoxelBounds { low, high } = bounds;
        StoredSet { size: self.size, low, high, words }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for VoxelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<VoxelSet, D::Error> {
        let StoredSet { size, low, high, words } = StoredSet::deserialize(deserializer)?;
        let fits = (0..3).all(|axis| low[axis] <= high[axis] && high[axis] <= size[axis]);
        if !fits || !low[0].is_multiple_of(WORD) {
            return Err(D::Error::custom("a set of voxels has a box outside its grid"));
        }
        let inner: [usize; 3] = std::array::from_fn(|axis| high[axis] - low[axis]);
        if words.len() != inner[0].div_ceil(WORD) * inner[1] * inner[2] {
            return Err(D::Error::invalid_length(words.len(), &"the words of a set of voxels"));
        }
        if words.is_empty() {
            return Ok(VoxelSet::empty(size));
        }
        Ok(VoxelSet::of_words(inner, |_| words).uncrop(&VoxelBounds { low, high }, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_kept_as_the_box_around_it() {
        let bytes = |bits: &VoxelSet| {
            let mut bytes = Vec::new();
            ciborium::into_writer(bits, &mut bytes).unwrap();
            bytes
        };
        let empty = VoxelSet::empty([200, 40, 40]);
        let mut bits = empty.clone();
        [[70, 1, 1], [150, 2, 2], [199, 39, 2]].into_iter().for_each(|at| bits.insert(at));
        for (bits, most) in [(&empty, 100), (&bits, 39 * 2 * 24 + 100), (&empty.clone().complement(), 60_000)]
        {
            let kept = bytes(bits);
            assert!(kept.len() < most, "{}", kept.len());
            assert_eq!(ciborium::from_reader::<VoxelSet, _>(&kept[..]).unwrap(), *bits);
        }
        let forged =
            StoredSet { size: [64; 3], low: [0; 3], high: [64, 64, 65], words: vec![0; 4160].into() };
        let mut kept = Vec::new();
        ciborium::into_writer(&forged, &mut kept).unwrap();
        assert!(ciborium::from_reader::<VoxelSet, _>(&kept[..]).is_err());
    }
}
