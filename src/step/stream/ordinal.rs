//! Ordinals: where an item stands in its stream.

use std::fmt;

/// The path of indices that led to an item: its index in the stream, and below that, where a step made many of
/// one, the index among those. The order of ordinals is the order of the paths, and the order of a stream.
///
/// It takes 16 bytes: 30 hexadecimal digits, of which each index takes one for its length and then its own, and
/// in the low byte the number of digits in use. A path that does not fit keeps its beginning and goes on with a
/// digest: the order below is then arbitrary, and the same everywhere.
///
/// ```
/// use flow::step::ItemOrdinal;
///
/// let third = ItemOrdinal::default().child(2);
/// assert!(third < third.child(0) && third.child(500) < ItemOrdinal::default().child(3));
/// assert_eq!(third.child(16).to_string(), "3.17", "people count from 1");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ItemOrdinal(u128);

const DIGITS_MAX: u32 = 30;

/// The length of an index of 52 bits; a longer one counts as not fitting.
const INDEX_DIGITS_MAX: u32 = 13;

/// The digit that stands before a digest of 64 bits, in place of a length.
const HASHED: u128 = 0xf;

/// The digits that stay of a path that goes on with a digest.
const HEAD_DIGITS: u32 = 13;

impl ItemOrdinal {
    /// The ordinal of the item number `index`, from 0, of those that were made of this one.
    #[must_use]
    pub fn child(self, index: u64) -> ItemOrdinal {
        let digits = (64 - index.leading_zeros()).div_ceil(4);
        let used = (self.0 & 0xff) as u32;
        if digits > INDEX_DIGITS_MAX || used + 1 + digits > DIGITS_MAX {
            return self.hashed(index);
        }
        let code = (u128::from(digits) + 1) << (4 * digits) | u128::from(index);
        let length = used + 1 + digits;
        ItemOrdinal((self.0 & !0xff) | code << (128 - 4 * length) | u128::from(length))
    }

    fn hashed(self, index: u64) -> ItemOrdinal {
        let mut digester = blake3::Hasher::new();
        digester.update(&self.0.to_le_bytes());
        digester.update(&index.to_le_bytes());
        let digest = digester.finalize();
        let first: [u8; 8] = digest.as_bytes()[..8].try_into().expect("a digest has 32 bytes");
        let below_head = 128 - 4 * HEAD_DIGITS;
        let head = self.0 >> below_head << below_head;
        let code = HASHED << 64 | u128::from(u64::from_le_bytes(first));
        ItemOrdinal(head | code << 8 | 0xff)
    }

    /// The ordinal as bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The indices of the path, from 0. `None` stands for those that a digest replaces.
    fn path(self) -> Vec<Option<u64>> {
        let used = if self.0 & 0xff == 0xff { HEAD_DIGITS } else { (self.0 & 0xff) as u32 };
        let digit = |at: u32| (self.0 >> (124 - 4 * at)) & 0xf;
        let (mut path, mut at) = (Vec::new(), 0);
        while at < used && digit(at) > 0 {
            let digits = digit(at) as u32 - 1;
            let last = (at + 1 + digits).min(used);
            path.push(Some((at + 1..last).fold(0, |index, at| index << 4 | digit(at) as u64)));
            at = last;
        }
        path.extend((self.0 & 0xff == 0xff).then_some(None));
        path
    }
}

impl fmt::Display for ItemOrdinal {
    /// Writes the path with indices from 1, joined by points.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |index: Option<u64>| index.map_or("…".to_owned(), |index| (index + 1).to_string());
        f.write_str(&self.path().into_iter().map(name).collect::<Vec<String>>().join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_paths() {
        let indices = [0, 1, 2, 15, 16, 17, 255, 256, 4_000, 1 << 20, (1 << 52) - 1];
        let mut paths: Vec<Vec<u64>> = vec![Vec::new()];
        for first in indices {
            paths.push(vec![first]);
            paths.extend(indices.iter().map(|second| vec![first, *second]));
        }
        paths.sort();
        let ordinal =
            |path: &Vec<u64>| path.iter().fold(ItemOrdinal::default(), |at, index| at.child(*index));
        let ordinals: Vec<ItemOrdinal> = paths.iter().map(ordinal).collect();
        assert!(ordinals.windows(2).all(|pair| pair[0] < pair[1]));
        for (path, ordinal) in paths.iter().zip(ordinals) {
            let shown: Vec<String> = path.iter().map(|index| (index + 1).to_string()).collect();
            assert_eq!(ordinal.to_string(), shown.join("."));
        }
    }

    #[test]
    fn a_path_that_does_not_fit_stays_unique_and_behind_its_beginning() {
        let deep = (0..40).fold(ItemOrdinal::default(), |at, index| at.child(1_000 + index));
        assert_ne!(deep.child(0), deep.child(1));
        assert!(ItemOrdinal::default().child(1_000) < deep && deep < ItemOrdinal::default().child(1_001));
        assert!(deep.to_string().starts_with("1001.") && deep.to_string().ends_with('…'), "{deep}");
    }
}
