//! The simulation itself: from event to event, as long as a study is on its way.

use std::collections::VecDeque;

use super::arrivals::{HOUR_S, SimulatedStudy};
use super::shared_server::SharedServer;

/// The boxes of a site, all alike, and what leads to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimulatedSite {
    pub boxes: usize,
    /// Cores of a box.
    pub cores: f64,
    /// Lanes of a box.
    pub lanes: usize,
    /// Bytes of a box for requests in work. A study that needs more is answered with an error.
    pub memory: f64,
    /// Cores that one study can use.
    pub study_cores: f64,
    /// Bytes a second of the link into the first box, which receives for all.
    pub link: f64,
    /// Seconds between the last image and the study's completeness.
    pub quiet_s: f64,
}

/// The times of one study, in seconds since the first midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StudyCourse {
    /// Whether it needs more memory than a box has: then it is answered when its turn comes, and no work is done.
    pub is_refused: bool,
    pub arrives_s: f64,
    pub complete_s: f64,
    /// The time at which its work begins: it has a lane and its memory.
    pub begins_s: f64,
    pub answered_s: f64,
}

/// The result of a simulation.
pub struct SiteRun {
    /// The studies in the order of their arrival.
    pub courses: Vec<StudyCourse>,
    /// Seconds of cores that each hour took in all boxes.
    pub core_s_by_hour: Vec<f64>,
    /// The most memory that one box had given to requests, in bytes.
    pub memory_peak: f64,
}

/// The next event.
#[derive(Clone, Copy)]
enum SiteEvent {
    Arrival,
    Received,
    Completed,
    Answered { place: usize },
}

/// One box at work.
struct BoxState {
    cores: SharedServer,
    in_work: usize,
    memory_used: f64,
    /// Studies that have a lane, and wait for memory.
    claims: VecDeque<usize>,
}

struct SiteRunState<'a> {
    site: SimulatedSite,
    studies: &'a [SimulatedStudy],
    now_s: f64,
    arrived: usize,
    link: SharedServer,
    /// Studies that were received, with the time at which they are complete.
    received: VecDeque<(f64, usize)>,
    queue: VecDeque<usize>,
    boxes: Vec<BoxState>,
    run: SiteRun,
}

/// Runs studies, which are in the order of their arrival, until all are answered.
pub fn simulate(site: &SimulatedSite, studies: &[SimulatedStudy]) -> SiteRun {
    let new_box = || BoxState {
        cores: SharedServer::new(site.cores, site.study_cores),
        in_work: 0,
        memory_used: 0.0,
        claims: VecDeque::new(),
    };
    let courses =
        studies.iter().map(|study| StudyCourse { arrives_s: study.arrives_s, ..StudyCourse::default() });
    let mut state = SiteRunState {
        site: *site,
        studies,
        now_s: 0.0,
        arrived: 0,
        link: SharedServer::new(site.link, site.link),
        received: VecDeque::new(),
        queue: VecDeque::new(),
        boxes: (0..site.boxes).map(|_| new_box()).collect(),
        run: SiteRun { courses: courses.collect(), core_s_by_hour: Vec::new(), memory_peak: 0.0 },
    };
    while let Some((time_s, event)) = state.next_event() {
        state.advance(time_s);
        state.happen(event);
    }
    state.run
}

impl SiteRunState<'_> {
    /// The next event and its time; `None` when all studies are answered.
    fn next_event(&self) -> Option<(f64, SiteEvent)> {
        let arrival = self.studies.get(self.arrived).map(|study| (study.arrives_s, SiteEvent::Arrival));
        let received = Some((self.now_s + self.link.until_next(), SiteEvent::Received));
        let completed = self.received.front().map(|(time_s, _)| (*time_s, SiteEvent::Completed));
        let answered = self
            .boxes
            .iter()
            .enumerate()
            .map(|(place, state)| (self.now_s + state.cores.until_next(), SiteEvent::Answered { place }));
        let events = [arrival, received, completed].into_iter().flatten().chain(answered);
        events.filter(|(time_s, _)| time_s.is_finite()).min_by(|one, other| one.0.total_cmp(&other.0))
    }

    fn advance(&mut self, to_s: f64) {
        self.note_cores(to_s);
        let seconds = to_s - self.now_s;
        self.link.advance(seconds);
        self.boxes.iter_mut().for_each(|state| state.cores.advance(seconds));
        self.now_s = to_s;
    }

    /// Adds the work until then to its hours.
    fn note_cores(&mut self, to_s: f64) {
        let rate: f64 = self.boxes.iter().map(|state| state.cores.rate()).sum();
        let mut from_s = self.now_s;
        while from_s < to_s {
            let hour = (from_s / HOUR_S) as usize;
            let end_s = to_s.min((hour + 1) as f64 * HOUR_S);
            if self.run.core_s_by_hour.len() <= hour {
                self.run.core_s_by_hour.resize(hour + 1, 0.0);
            }
            self.run.core_s_by_hour[hour] += rate * (end_s - from_s);
            from_s = end_s;
        }
    }

    fn happen(&mut self, event: SiteEvent) {
        match event {
            SiteEvent::Arrival => {
                self.link.add(self.arrived, self.studies[self.arrived].bytes);
                self.arrived += 1;
            }
            SiteEvent::Received => {
                let complete_s = self.now_s + self.site.quiet_s;
                self.received.extend(self.link.end_next().map(|study| (complete_s, study)));
            }
            SiteEvent::Completed => {
                if let Some((_, study)) = self.received.pop_front() {
                    self.run.courses[study].complete_s = self.now_s;
                    self.queue.push_back(study);
                }
                self.fill_lanes();
            }
            SiteEvent::Answered { place } => {
                if let Some(study) = self.boxes[place].cores.end_next() {
                    self.run.courses[study].answered_s = self.now_s;
                    self.boxes[place].in_work -= 1;
                    self.boxes[place].memory_used -= self.memory_of(study);
                }
                self.grant_memory(place);
                self.fill_lanes();
            }
        }
    }

    /// Gives idle lanes to studies in the order in which they were complete. A study that can never be admitted ends
    /// in its lane at once.
    fn fill_lanes(&mut self) {
        while let Some(study) = self.queue.front().copied() {
            let idle = self.boxes.iter().enumerate().filter(|(_, state)| state.in_work < self.site.lanes);
            let Some((place, _)) = idle.min_by_key(|(_, state)| state.in_work) else { return };
            self.queue.pop_front();
            if self.memory_of(study) > self.site.memory {
                let course = &mut self.run.courses[study];
                (course.is_refused, course.begins_s, course.answered_s) = (true, self.now_s, self.now_s);
                continue;
            }
            self.boxes[place].in_work += 1;
            self.boxes[place].claims.push_back(study);
            self.grant_memory(place);
        }
    }

    /// Begins the studies of a box whose memory is free, in their order.
    fn grant_memory(&mut self, place: usize) {
        while let Some(study) = self.boxes[place].claims.front().copied() {
            let claimed = self.memory_of(study);
            let state = &mut self.boxes[place];
            // Half a byte for the roundings of many sums and differences.
            if state.memory_used + claimed > self.site.memory + 0.5 {
                return;
            }
            state.claims.pop_front();
            state.memory_used += claimed;
            state.cores.add(study, self.studies[study].core_s);
            self.run.memory_peak = self.run.memory_peak.max(state.memory_used);
            self.run.courses[study].begins_s = self.now_s;
        }
    }

    fn memory_of(&self, study: usize) -> f64 {
        self.studies[study].memory
    }
}
