//! Pseudo-random numbers that depend on the seed alone.

/// The SplitMix64 output function (Steele, Lea and Flood, OOPSLA 2014), which spreads a counter's bits.
fn spread(counter: u64) -> u64 {
    let mut bits = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A sequence of draws for laying out the anatomy.
pub struct RandomDraws {
    key: u64,
    drawn: u64,
}

impl RandomDraws {
    /// A sequence of draws. Sequences with different streams are unrelated.
    pub fn new(seed: u64, stream: u64) -> RandomDraws {
        RandomDraws { key: spread(spread(seed) ^ stream), drawn: 0 }
    }

    /// A number uniform in `from..to`.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        self.drawn += 1;
        let bits = spread(self.key ^ spread(self.drawn));
        from + (to - from) * (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Gaussian noise in whole HU: a function of seed, slice and voxel, so that the order of threads has no
/// effect.
///
/// Each voxel takes one of 65 536 equally likely values: those of the normal distribution, rounded to whole
/// HU. The share of values below a threshold is therefore known exactly.
pub struct VoxelNoise {
    key: u64,
    standard_deviation_hu: f64,
    /// The values in ascending order, each with its negative; empty for no noise.
    values: Vec<i16>,
}

impl VoxelNoise {
    /// # Panics
    /// If the standard deviation is not between 0 and 1000 HU.
    pub fn new(seed: u64, standard_deviation_hu: f64) -> VoxelNoise {
        assert!((0.0..=1000.0).contains(&standard_deviation_hu), "noise is between 0 and 1000 HU");
        let upper = if standard_deviation_hu > 0.0 { upper_half(standard_deviation_hu) } else { Vec::new() };
        let lower = upper.iter().rev().map(|value| -value);
        let values = lower.chain(upper.iter().copied()).collect();
        VoxelNoise { key: spread(!seed), standard_deviation_hu, values }
    }

    pub fn standard_deviation_hu(&self) -> f64 {
        self.standard_deviation_hu
    }

    /// Adds noise to the voxels of a slice.
    pub fn add(&self, slice: usize, voxels: &mut [i16]) {
        if self.values.is_empty() {
            return;
        }
        let key = spread(self.key ^ slice as u64);
        for (counter, four) in voxels.chunks_mut(4).enumerate() {
            let bits = spread(key.wrapping_add(counter as u64));
            for (index, voxel) in four.iter_mut().enumerate() {
                *voxel += self.values[usize::from((bits >> (16 * index)) as u16)];
            }
        }
    }

    /// The share of voxels of one density that lie strictly below a threshold.
    pub fn share_below(&self, density_hu: f64, threshold_hu: f64) -> f64 {
        if self.values.is_empty() {
            return if density_hu < threshold_hu { 1.0 } else { 0.0 };
        }
        let below = self.values.partition_point(|&value| density_hu + f64::from(value) < threshold_hu);
        below as f64 / self.values.len() as f64
    }
}

/// The rounded normal values at the ranks above one half, (k + ½) / 65 536.
fn upper_half(deviation: f64) -> Vec<i16> {
    let mut values = Vec::with_capacity(1 << 15);
    let (mut value, mut share) = (0_i16, 0.5 + normal_integral(0.0, 0.5 / deviation));
    while values.len() < 1 << 15 {
        let rank = ((values.len() + (1 << 15)) as f64 + 0.5) / f64::from(1 << 16);
        while share < rank {
            value += 1;
            let middle = f64::from(value);
            share += normal_integral((middle - 0.5) / deviation, (middle + 0.5) / deviation);
        }
        values.push(value);
    }
    values
}

/// The integral of the standard normal density by Simpson's rule, in steps of at most 1/16.
fn normal_integral(from: f64, to: f64) -> f64 {
    let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let pieces = ((to - from) * 8.0).ceil().max(1.0);
    let step = (to - from) / pieces;
    let piece = |index: usize| {
        let start = from + step * index as f64;
        step / 6.0 * (density(start) + 4.0 * density(start + step / 2.0) + density(start + step))
    };
    (0..pieces as usize).map(piece).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_normal() {
        let noise = VoxelNoise::new(1, 20.0);
        // Φ at −2, −1, 0, 1, 2 deviations, less half a HU, from tables.
        for (threshold, share) in
            [(-40.0, 0.021_434), (-20.0, 0.152_682), (0.0, 0.490_027), (20.0, 0.835_220)]
        {
            let ours = noise.share_below(0.0, threshold);
            assert!((ours - share).abs() < 2e-5, "{ours} is not {share} at {threshold}");
        }
    }

    #[test]
    fn voxels_take_the_shares() {
        let noise = VoxelNoise::new(7, 10.0);
        let mut voxels = vec![-900_i16; 1 << 20];
        noise.add(3, &mut voxels);
        let below = voxels.iter().filter(|&&voxel| voxel < -910).count() as f64 / voxels.len() as f64;
        // Six standard errors of the share.
        let bound = 6.0 * (below * (1.0 - below) / voxels.len() as f64).sqrt();
        assert!((below - noise.share_below(-900.0, -910.0)).abs() < bound);
    }

    #[test]
    fn draws_fill_their_range() {
        let mut draws = RandomDraws::new(1, 2);
        let mean = (0..10_000).map(|_| draws.between(2.0, 4.0)).inspect(|x| assert!((2.0..4.0).contains(x)));
        assert!((mean.sum::<f64>() / 10_000.0 - 3.0).abs() < 0.05);
    }
}
