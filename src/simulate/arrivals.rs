//! The studies of a hospital's days: when they arrive, and how large they are.

use std::f64::consts::TAU;

/// Seconds of an hour.
pub(super) const HOUR_S: f64 = 3600.0;

/// Arrivals of each hour of a day, in parts of those of its busiest hour.
#[derive(Clone, Debug, PartialEq)]
pub struct HospitalDay([f64; 24]);

impl HospitalDay {
    /// A day that is drawn, not measured, so that its busiest hour has 10.1 % of all: that is what Wilson and Smith
    /// counted over the working days of a hospital (Distribution of workload over the working day in a PACS, Proc.
    /// SPIE 2165, 1994).
    pub const USUAL: HospitalDay = HospitalDay([
        0.10, 0.08, 0.06, 0.06, 0.06, 0.08, 0.12, 0.30, 0.70, 0.95, 1.00, 0.95, 0.75, 0.85, 0.95, 0.85, 0.63,
        0.36, 0.28, 0.22, 0.18, 0.15, 0.12, 0.10,
    ]);

    /// A day with arrivals in these proportions; `None` if one is negative or none is positive.
    pub fn of(proportions: [f64; 24]) -> Option<HospitalDay> {
        let most = proportions.iter().copied().fold(0.0, f64::max);
        let sound = proportions.iter().all(|part| part.is_finite() && *part >= 0.0) && most > 0.0;
        sound.then(|| HospitalDay(proportions.map(|part| part / most)))
    }

    /// The first of the busiest hours, from 0.
    pub fn busiest_hour(&self) -> usize {
        self.0.iter().position(|part| *part >= 1.0).unwrap_or_default()
    }

    /// Arrivals of the whole day, in those of the busiest hour.
    pub fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// The part of an hour, from 0; after 23 the next day begins.
    pub fn part(&self, hour: usize) -> f64 {
        self.0[hour % 24]
    }
}

/// One study on its way through the site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimulatedStudy {
    /// The time at which its first image is sent, in seconds since the first midnight.
    pub arrives_s: f64,
    pub bytes: f64,
    /// The processor's time for it, in seconds of one core.
    pub core_s: f64,
    /// Bytes that it takes of the memory budget while it is in work.
    pub memory: f64,
}

/// Studies on average, and how much they vary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudyProfile {
    pub bytes: f64,
    pub core_s: f64,
    /// Memory of a request of any size, in bytes.
    pub memory_fixed: f64,
    /// Memory for each byte of a study.
    pub memory_per_byte: f64,
    /// The standard deviation of sizes in parts of their mean. The processor's time and memory vary with the size.
    pub variation: f64,
}

impl StudyProfile {
    /// A study of `size` times the mean size.
    pub fn study(&self, arrives_s: f64, size: f64) -> SimulatedStudy {
        let bytes = self.bytes * size;
        let memory = self.memory_fixed + self.memory_per_byte * bytes;
        SimulatedStudy { arrives_s, bytes, core_s: self.core_s * size, memory }
    }

    /// A random size with mean 1, of a log-normal distribution.
    fn size(&self, random: &mut RandomSequence) -> f64 {
        let variance = (self.variation * self.variation).ln_1p();
        (variance.sqrt() * random.normal() - variance / 2.0).exp()
    }
}

/// The studies of some days in the order of their arrival, with `per_hour` in the busiest hours on average.
///
/// Arrivals are a Poisson process whose rate follows the day, drawn by thinning (Lewis and Shedler, Simulation of
/// nonhomogeneous Poisson processes by thinning, Naval Research Logistics Quarterly 26, 1979).
pub fn draw_studies(
    day: &HospitalDay,
    per_hour: f64,
    days: u32,
    profile: &StudyProfile,
    seed: u64,
) -> Vec<SimulatedStudy> {
    let end_s = f64::from(days) * 24.0 * HOUR_S;
    let mut random = RandomSequence(seed);
    let mut studies = Vec::new();
    let mut time_s = 0.0;
    loop {
        time_s += random.exponential(HOUR_S / per_hour);
        if time_s >= end_s {
            return studies;
        }
        if random.uniform() < day.part((time_s / HOUR_S) as usize) {
            let size = profile.size(&mut random);
            studies.push(profile.study(time_s, size));
        }
    }
}

/// Studies that arrive at these times, which are in order.
pub fn studies_at(times_s: &[f64], profile: &StudyProfile, seed: u64) -> Vec<SimulatedStudy> {
    let mut random = RandomSequence(seed);
    times_s.iter().map(|time_s| profile.study(*time_s, profile.size(&mut random))).collect()
}

/// Random numbers that are the same on every machine (SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
pub(super) struct RandomSequence(pub(super) u64);

impl RandomSequence {
    /// Between 0 and 1, without both.
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let first = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let second = (first ^ (first >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // 53 bits are what a float holds.
        (((second ^ (second >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -self.uniform().ln() * mean
    }

    /// Mean 0, standard deviation 1 (Box and Muller, Annals of Mathematical Statistics 29, 1958).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }
}
