//! What is measured on synthetic studies, against what is true of them by formula.

use flow::imaging::phantom::{PhantomChest, PhantomOptions};
use flow::imaging::steps::find_lungs::{self, find_lungs};
use flow::imaging::steps::measure_densities::{self, measure_densities};
use flow::imaging::{LungRegion, RegionDensity, Volume};
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

/// A chest of a third of an adult's lengths has 150 mL of lung, which `ct-lung` measures as it is.
#[test]
fn the_lungs_of_a_small_child_are_found() {
    let chest = PhantomChest::new(&PhantomOptions { size: [128, 128, 60], ..PhantomOptions::default() });
    let adult = chest.volume();
    let child = Volume { spacing: adult.spacing.map(|mm| 0.33 * mm), ..adult };
    let text = include_str!("../../dataflows/ct-lung.yaml");
    let (_, least) = text.split_once("volume_least_ml: ").expect("ct-lung lowers the limit");
    let volume_least_ml = least.split('}').next().unwrap().parse().unwrap();
    let settings = find_lungs::LungSettings { volume_least_ml, ..find_lungs::LungSettings::default() };
    let lungs = find_lungs(&child, &settings, &CancelToken::default()).unwrap();
    let ml = [&lungs.right, &lungs.left].map(|lung| lung.count() as f64 * child.voxel_ml());
    let truth = [chest.truth().right_ml, chest.truth().left_ml].map(|ml| ml * 0.33_f64.powi(3));
    for (ml, truth) in ml.into_iter().zip(truth) {
        assert!((ml - truth).abs() < 0.1 * truth, "{ml} mL, not {truth}");
    }
}
