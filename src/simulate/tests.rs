//! The model against results of queueing theory, and against itself.
//!
//! Formulas: L. Kleinrock, Queueing Systems, volume 1 (1975), chapters 3 and 5, and volume 2 (1976), chapter 4.

use super::arrivals::RandomSequence;
use super::*;

/// A site without bounds but for those that a test sets.
const OPEN: SimulatedSite = SimulatedSite {
    boxes: 1,
    cores: 1.0,
    lanes: 1,
    memory: 1e18,
    study_cores: 1.0,
    link: 1e18,
    quiet_s: 0.0,
};

const STUDIES: usize = 200_000;

/// Studies with exponential times between them, at a rate for each second. `core_s` draws their work.
fn poisson(rate: f64, mut core_s: impl FnMut(&mut RandomSequence) -> f64) -> Vec<SimulatedStudy> {
    let mut random = RandomSequence(7);
    let mut time_s = 0.0;
    let mut draw = || {
        time_s += random.exponential(1.0 / rate);
        SimulatedStudy { arrives_s: time_s, bytes: 1.0, core_s: core_s(&mut random), memory: 1.0 }
    };
    (0..STUDIES).map(|_| draw()).collect()
}

fn waits(run: &SiteRun) -> Vec<f64> {
    run.courses.iter().map(|course| course.begins_s - course.complete_s).collect()
}

/// Compares a mean with theory, within three standard errors of the means of 50 batches (A. Law and D. Kelton,
/// Simulation Modeling and Analysis, chapter 9).
fn check_mean(times: &[f64], expected: f64) {
    let batches: Vec<f64> =
        times.chunks(times.len() / 50).map(|batch| batch.iter().sum::<f64>() / batch.len() as f64).collect();
    let count = batches.len() as f64;
    let mean = batches.iter().sum::<f64>() / count;
    let variance = batches.iter().map(|batch| (batch - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let tolerance = 3.0 * (variance / count).sqrt();
    assert!(tolerance < 0.15 * expected, "the tolerance {tolerance} tells nothing of {expected}");
    assert!((mean - expected).abs() < tolerance, "{mean}, not {expected} ± {tolerance}");
}

#[test]
fn one_lane_waits_as_m_m_1() {
    let run = simulate(&OPEN, &poisson(0.7, |random| random.exponential(1.0)));
    // Wq = ρ / (µ − λ).
    check_mean(&waits(&run), 0.7 / (1.0 - 0.7));
}

/// Erlang's formula C: the share of customers of M/M/c that wait, at an offered load in servers.
fn erlang_c(servers: u32, load: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 0.0;
    for present in 0..servers {
        sum += term;
        term *= load / f64::from(present + 1);
    }
    let waiting = term * f64::from(servers) / (f64::from(servers) - load);
    waiting / (sum + waiting)
}

#[test]
fn several_lanes_wait_as_m_m_c() {
    // A value of Erlang's tables: 5 servers, 4 erlang.
    assert!((erlang_c(5, 4.0) - 0.5541).abs() < 0.0001);
    for (servers, load) in [(2, 1.4), (4, 3.2), (8, 6.0)] {
        let site = SimulatedSite { lanes: servers as usize, cores: f64::from(servers), ..OPEN };
        let run = simulate(&site, &poisson(load, |random| random.exponential(1.0)));
        // Wq = C / (cµ − λ).
        check_mean(&waits(&run), erlang_c(servers, load) / (f64::from(servers) - load));
        // As many boxes of one lane are the same queue.
        let site = SimulatedSite { boxes: servers as usize, ..OPEN };
        let boxes = simulate(&site, &poisson(load, |random| random.exponential(1.0)));
        assert!(waits(&boxes).iter().zip(waits(&run)).all(|(one, other)| (one - other).abs() < 1e-6));
    }
}

#[test]
fn equal_studies_wait_as_m_d_1() {
    let run = simulate(&OPEN, &poisson(0.8, |_| 1.0));
    // Pollaczek and Khinchine: Wq = λ E[S²] / (2 (1 − ρ)).
    check_mean(&waits(&run), 0.8 / (2.0 * (1.0 - 0.8)));
}

#[test]
fn shared_cores_serve_as_processor_sharing() {
    let site = SimulatedSite { lanes: STUDIES, ..OPEN };
    // The mean time in M/G/1 with processor sharing is E[S] / (1 − ρ), whatever the distribution.
    for core_s in [|_: &mut RandomSequence| 1.0, |random: &mut RandomSequence| random.exponential(1.0)] {
        let run = simulate(&site, &poisson(0.7, core_s));
        let times: Vec<f64> = run.courses.iter().map(|course| course.answered_s - course.arrives_s).collect();
        check_mean(&times, 1.0 / (1.0 - 0.7));
    }
}

#[test]
fn one_study_takes_the_sum_of_its_stages() {
    let site = SimulatedSite { cores: 8.0, study_cores: 2.0, link: 10.0, quiet_s: 5.0, ..OPEN };
    let run = simulate(&site, &[SimulatedStudy { arrives_s: 100.0, bytes: 30.0, core_s: 4.0, memory: 7.0 }]);
    let expected = StudyCourse {
        is_refused: false,
        arrives_s: 100.0,
        complete_s: 108.0,
        begins_s: 108.0,
        answered_s: 110.0,
    };
    assert_eq!(run.courses, [expected]);
    assert_eq!((run.memory_peak, run.core_s_by_hour), (7.0, vec![4.0]));
}

const PROFILE: StudyProfile =
    StudyProfile { bytes: 144e6, core_s: 20.0, memory_fixed: 1e8, memory_per_byte: 2.0, variation: 0.5 };

fn usual_day(per_hour: f64, seed: u64) -> Vec<SimulatedStudy> {
    draw_studies(&HospitalDay::USUAL, per_hour, 1, &PROFILE, seed)
}

#[test]
fn a_day_has_its_curve() {
    let day = HospitalDay::USUAL;
    assert_eq!(day.busiest_hour(), 10);
    assert!((1.0 / day.total() - 0.101).abs() < 0.0005, "{}", 1.0 / day.total());
    let studies = draw_studies(&day, 2000.0, 5, &PROFILE, 3);
    for hour in 0..24 {
        let count =
            studies.iter().filter(|study| (study.arrives_s / 3600.0) as usize % 24 == hour).count() as f64;
        let expected = 5.0 * 2000.0 * day.part(hour);
        assert!((count - expected).abs() < 4.0 * expected.sqrt(), "hour {hour}: {count}, not {expected}");
    }
    let mean = studies.iter().map(|study| study.bytes).sum::<f64>() / studies.len() as f64;
    assert!((mean / PROFILE.bytes - 1.0).abs() < 0.01, "{mean}");
    assert_eq!(HospitalDay::of([0.0; 24]), None);
    assert_eq!(HospitalDay::of([f64::NAN; 24]), None);
    assert_eq!(HospitalDay::of([3.0; 24]), HospitalDay::of([1.0; 24]));
}

#[test]
fn a_seed_gives_the_same_day_again() {
    assert_eq!(usual_day(250.0, 1), usual_day(250.0, 1));
    assert_ne!(usual_day(250.0, 1), usual_day(250.0, 2));
}

#[test]
fn work_is_neither_lost_nor_made_and_memory_keeps_its_bound() {
    let mut studies = usual_day(250.0, 1);
    let site = SimulatedSite { boxes: 2, cores: 1.0, lanes: 4, memory: 1e9, ..OPEN };
    studies.retain(|study| study.memory <= site.memory);
    let run = simulate(&site, &studies);
    let work: f64 = studies.iter().map(|study| study.core_s).sum();
    assert!((run.core_s_by_hour.iter().sum::<f64>() / work - 1.0).abs() < 1e-9);
    assert!(run.core_s_by_hour.iter().all(|hour| *hour <= 2.0 * 3600.0 + 1e-6));
    assert!((0.5e9..=1e9 + 1.0).contains(&run.memory_peak), "{}", run.memory_peak);
    let in_order = run.courses.iter().all(|course| {
        course.arrives_s < course.complete_s
            && course.complete_s <= course.begins_s
            && course.begins_s < course.answered_s
    });
    assert!(in_order);
}

#[test]
fn what_is_full_first_is_full_at_its_bound() {
    let usual = PROFILE.study(0.0, 1.0);
    let wide = SimulatedSite { cores: 1e3, lanes: 1000, memory: 1e15, link: 1e12, ..OPEN };
    let narrow = [
        (SiteResource::Cores, SimulatedSite { cores: 1.0, ..wide }),
        (SiteResource::Lanes, SimulatedSite { lanes: 2, ..wide }),
        (SiteResource::Memory, SimulatedSite { memory: 8e8, ..wide }),
        (SiteResource::NetworkIn, SimulatedSite { link: 1e7, ..wide }),
    ];
    let steady = HospitalDay::of([1.0; 24]).expect("it has arrivals");
    let equal = StudyProfile { variation: 0.0, ..PROFILE };
    for (resource, site) in narrow {
        let (found, most) = first_bottleneck(&site, &usual);
        assert_eq!(found, resource);
        let longest = |load: f64| {
            let studies = draw_studies(&steady, most * load, 1, &equal, 5);
            report(&site, &usual, &simulate(&site, &studies)).answer_s.longest
        };
        // Of what comes in a day, a quarter of an hour is more than chance: a fifth too much is four hours' work.
        assert!(longest(0.8) < 900.0, "{resource:?} at 80 %: {}", longest(0.8));
        assert!(longest(1.2) > 3.0 * 3600.0, "{resource:?} at 120 %: {}", longest(1.2));
    }
}

#[test]
fn a_study_that_fits_into_no_box_is_refused_and_holds_up_none() {
    let study = |arrives_s, memory| SimulatedStudy { arrives_s, bytes: 1.0, core_s: 2.0, memory };
    let site = SimulatedSite { memory: 1e9, ..OPEN };
    let run = simulate(&site, &[study(0.0, 5e8), study(0.5, 2e9), study(0.6, 1e9)]);
    let refused: Vec<bool> = run.courses.iter().map(|course| course.is_refused).collect();
    assert_eq!(refused, [false, true, false]);
    assert!((run.courses[1].answered_s - 2.0).abs() < 1e-6, "its turn comes after the first");
    assert!((run.courses[2].answered_s - 4.0).abs() < 1e-6);
    assert!((run.core_s_by_hour[0] - 4.0).abs() < 1e-6 && run.memory_peak <= 1e9);
    let told = report(&site, &study(0.0, 2e9), &run);
    assert_eq!((told.studies, told.refused, told.wait_s.median), (3, 1, 0.0));
    assert_eq!((told.bottleneck, told.studies_per_hour_max), (SiteResource::Memory, 0.0));
}
