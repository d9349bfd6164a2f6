//! What is measured on synthetic studies, against what is true of them by formula.

use flow::imaging::phantom::{PhantomChest, PhantomOptions};
use flow::imaging::steps::find_lungs::{self, find_lungs};
use flow::imaging::steps::measure_densities::{self, measure_densities};
use flow::imaging::{LungRegion, RegionDensity};
use flow::step::CancelToken;

/// The largest differences between what is measured and what is true. They are a third above the worst
/// of these studies: 0.53 % of volume, 4.4 HU and 0.22 points, and on the coarse ones 0.94 %, 7.3 HU
/// and 0.20 points. What is wrong lies at the hilum, where the lung's surface has to be guessed.
struct Bounds {
    volume_percent: f64,
    mean_hu: f64,
    laa_950_points: f64,
}

#[track_caller]
fn check(options: &PhantomOptions, bounds: &Bounds) {
    let chest = PhantomChest::new(options);
    let (volume, truth) = (chest.volume(), chest.truth());
    let lungs = find_lungs(&volume, &find_lungs::LungSettings::default(), &CancelToken::default()).unwrap();
    let densities =
        measure_densities(&volume, &lungs, &measure_densities::DensitySettings::default()).unwrap();
    let region =
        |lung| -> &RegionDensity { densities.regions.iter().find(|region| region.lung == lung).unwrap() };
    let near = |what: &str, measured: f64, truth: f64, bound: f64| {
        assert!(
            (measured - truth).abs() <= bound,
            "{what}: {measured} and not {truth} ± {bound}: {options:?}"
        );
    };
    let share = bounds.volume_percent / 100.0;
    near("right mL", region(LungRegion::Right).volume_ml, truth.right_ml, share * truth.right_ml);
    near("left mL", region(LungRegion::Left).volume_ml, truth.left_ml, share * truth.left_ml);
    let both = region(LungRegion::Both);
    near("mean HU", both.mean_hu, truth.mean_hu, bounds.mean_hu);
    let (threshold, below) = both.below[0];
    assert_eq!(threshold, -950.0);
    near("LAA-950 %", below, truth.laa_950_percent, bounds.laa_950_points);
}

#[test]
fn usual_chests() {
    for seed in 1..6 {
        let options = PhantomOptions { size: [256, 256, 120], seed, ..PhantomOptions::default() };
        check(&options, &Bounds { volume_percent: 0.7, mean_hu: 5.5, laa_950_points: 0.3 });
    }
}

#[test]
fn healthy_chests_without_noise() {
    for seed in 11..14 {
        let options = PhantomOptions {
            size: [256, 256, 120],
            seed,
            spots: 0,
            noise_hu: 0.0,
            ..PhantomOptions::default()
        };
        check(&options, &Bounds { volume_percent: 0.7, mean_hu: 6.0, laa_950_points: 0.3 });
    }
}

#[test]
fn coarse_chests() {
    for seed in 21..24 {
        let options = PhantomOptions { size: [128, 128, 60], seed, ..PhantomOptions::default() };
        check(&options, &Bounds { volume_percent: 1.25, mean_hu: 10.0, laa_950_points: 0.3 });
    }
}
