//! The report of a simulation: quantiles of times, use, and what is full first.

use serde::Serialize;

use super::arrivals::{HOUR_S, SimulatedStudy};
use super::site_run::{SimulatedSite, SiteRun};

/// A part of a site that can be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteResource {
    NetworkIn,
    Cores,
    Lanes,
    Memory,
}

impl SiteResource {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            SiteResource::NetworkIn => "network in",
            SiteResource::Cores => "cores",
            SiteResource::Lanes => "lanes",
            SiteResource::Memory => "memory",
        }
    }
}

/// Times of all studies, in seconds. A quantile is the least time that so many do not exceed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SimulatedQuantiles {
    pub median: f64,
    pub p95: f64,
    pub p99: f64,
    pub longest: f64,
}

impl SimulatedQuantiles {
    fn of(times: impl Iterator<Item = f64>) -> SimulatedQuantiles {
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        let quantile = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).copied().unwrap_or_default()
        };
        SimulatedQuantiles {
            median: quantile(50),
            p95: quantile(95),
            p99: quantile(99),
            longest: quantile(100),
        }
    }
}

/// A simulation of one number of boxes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SimulationReport {
    pub boxes: usize,
    pub studies: usize,
    /// Studies that need more memory than a box has for requests: they are answered with an error, and left out of the times.
    pub refused: usize,
    /// From the completeness of a study to the begin of its work.
    pub wait_s: SimulatedQuantiles,
    /// From the first image that is sent to the answer.
    pub answer_s: SimulatedQuantiles,
    /// The part of all cores that work in the hour in which most do, from 0 to 1.
    pub cores_busiest_hour: f64,
    /// The most memory that one box had given to requests, in bytes.
    pub memory_peak: u64,
    pub bottleneck: SiteResource,
    /// The load at which the bottleneck is full, in studies an hour.
    pub studies_per_hour_max: f64,
}

/// Sums up a simulation. `usual` is the average study, from which the bottleneck follows.
pub fn report(site: &SimulatedSite, usual: &SimulatedStudy, run: &SiteRun) -> SimulationReport {
    let busiest = run.core_s_by_hour.iter().copied().fold(0.0, f64::max);
    let (bottleneck, studies_per_hour_max) = first_bottleneck(site, usual);
    let run_through = || run.courses.iter().filter(|course| !course.is_refused);
    SimulationReport {
        boxes: site.boxes,
        studies: run.courses.len(),
        refused: run.courses.len() - run_through().count(),
        wait_s: SimulatedQuantiles::of(run_through().map(|course| course.begins_s - course.complete_s)),
        answer_s: SimulatedQuantiles::of(run_through().map(|course| course.answered_s - course.arrives_s)),
        cores_busiest_hour: busiest / (site.cores * site.boxes as f64 * HOUR_S),
        memory_peak: run.memory_peak.ceil() as u64,
        bottleneck,
        studies_per_hour_max,
    }
}

/// The part that is full first as the load grows, and at how many studies an hour.
///
/// Each resource alone bounds the throughput: its number of servers, divided by the time for which a study takes one
/// (the asymptotic bounds of operational analysis: Denning and Buzen, The operational analysis of queueing network
/// models, Computing Surveys 10, 1978). A study takes a lane and memory at least as long as it works alone. Where not
/// even one fits into the memory, that is full without any.
pub fn first_bottleneck(site: &SimulatedSite, usual: &SimulatedStudy) -> (SiteResource, f64) {
    let boxes = site.boxes as f64;
    let alone_s = usual.core_s / site.study_cores.min(site.cores);
    let in_memory = (site.memory / usual.memory).floor();
    let bounds = [
        (SiteResource::NetworkIn, site.link / usual.bytes),
        (SiteResource::Cores, boxes * site.cores / usual.core_s),
        (SiteResource::Lanes, boxes * site.lanes as f64 / alone_s),
        (SiteResource::Memory, boxes * in_memory / alone_s),
    ];
    let first = bounds.into_iter().min_by(|one, other| one.1.total_cmp(&other.1));
    let (resource, per_second) = first.expect("there are four of them");
    (resource, per_second * HOUR_S)
}
