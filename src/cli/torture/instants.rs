//! Random instants that a seed repeats.

use std::time::Duration;

/// A generator of instants (SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
pub struct InstantGenerator(u64);

impl InstantGenerator {
    pub fn new(seed: u64) -> InstantGenerator {
        InstantGenerator(seed)
    }

    /// A time between zero and the longest one, each as likely as any other.
    pub fn below(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.next() as f64 / u64::MAX as f64)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let first = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let second = (first ^ (first >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        second ^ (second >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_instants_all_over_the_time() {
        let longest = Duration::from_secs(1);
        let some = |seed| {
            let mut instants = InstantGenerator::new(seed);
            (0..1000).map(|_| instants.below(longest)).collect::<Vec<Duration>>()
        };
        let instants = some(1);
        assert!(instants == some(1) && instants != some(2));
        for tenth in 0..10 {
            let range = longest * tenth / 10..longest * (tenth + 1) / 10;
            let count = instants.iter().filter(|instant| range.contains(*instant)).count();
            assert!((50..200).contains(&count), "{count} of 1000 in {range:?}");
        }
    }
}
