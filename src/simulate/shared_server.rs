//! A link or the cores of a box: work that is done at a limited rate, shared evenly by all that is present.

use std::collections::BTreeSet;

/// A server with processor sharing: each of `n` jobs proceeds at the rate `min(job_max, capacity / n)`.
pub struct SharedServer {
    capacity: f64,
    job_max: f64,
    /// The present jobs by the amount of `given` at which they end. A float that is not negative is ordered as its bits.
    jobs: BTreeSet<(u64, usize)>,
    /// Work that a job would have been given if it had been here since the server was last idle.
    given: f64,
}

impl SharedServer {
    /// Rates in work for each second; both more than zero.
    pub fn new(capacity: f64, job_max: f64) -> SharedServer {
        SharedServer { capacity, job_max, jobs: BTreeSet::new(), given: 0.0 }
    }

    /// The rate at which each job proceeds.
    fn job_rate(&self) -> f64 {
        self.job_max.min(self.capacity / self.jobs.len().max(1) as f64)
    }

    /// The rate of all jobs together.
    pub fn rate(&self) -> f64 {
        self.job_rate() * self.jobs.len() as f64
    }

    pub fn add(&mut self, job: usize, work: f64) {
        self.jobs.insert(((self.given + work).to_bits(), job));
    }

    /// Works for some seconds, in which no job ends.
    pub fn advance(&mut self, seconds: f64) {
        if !self.jobs.is_empty() {
            self.given += self.job_rate() * seconds;
        }
    }

    /// Seconds until the next job ends; infinite without jobs.
    pub fn until_next(&self) -> f64 {
        self.jobs.first().map_or(f64::INFINITY, |(end, _)| {
            ((f64::from_bits(*end) - self.given) / self.job_rate()).max(0.0)
        })
    }

    /// Ends the next job; to be called when its time has come.
    pub fn end_next(&mut self) -> Option<usize> {
        let (end, job) = self.jobs.pop_first()?;
        // The sum of many small steps may be off by a rounding; an idle server begins at zero again.
        self.given = if self.jobs.is_empty() { 0.0 } else { f64::from_bits(end) };
        Some(job)
    }
}
