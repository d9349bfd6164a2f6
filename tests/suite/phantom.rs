//! The synthetic chest: its truth against counted voxels, its files against readers and a validator.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{CommandFactory, Parser};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, open_file};
use dicom_pixeldata::PixelDecoder;
use flow::cli::sample::{SampleArguments, SampleError};
use flow::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax, TruthFile};
use flow::imaging::{Lungs, Volume};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    sample: SampleArguments,
}

fn small() -> PhantomOptions {
    PhantomOptions { size: [64, 64, 24], ..PhantomOptions::default() }
}

/// What counting the voxels of the true lungs gives.
struct Counted {
    right_ml: f64,
    left_ml: f64,
    mean_hu: f64,
    laa_950_percent: f64,
    voxels: f64,
}

fn count(volume: &Volume, lungs: &Lungs) -> Counted {
    let of = |side: u8| lungs.labels().filter(|label| *label == side).count() as f64;
    let inside = || volume.voxels.iter().zip(lungs.labels()).filter(|(_, label)| *label != Lungs::NONE);
    let voxels = of(Lungs::RIGHT) + of(Lungs::LEFT);
    Counted {
        right_ml: of(Lungs::RIGHT) * volume.voxel_ml(),
        left_ml: of(Lungs::LEFT) * volume.voxel_ml(),
        mean_hu: inside().map(|(&hu, _)| f64::from(hu)).sum::<f64>() / voxels,
        laa_950_percent: 100.0 * inside().filter(|(hu, _)| **hu < -950).count() as f64 / voxels,
        voxels,
    }
}

/// Sampling errors shrink about with the square of the voxels' size: the bounds are those of
/// `Truth`'s documentation. With noise, chance adds five standard errors.
#[track_caller]
fn check(options: &PhantomOptions) {
    let chest = PhantomChest::new(options);
    let (volume, truth) = (chest.volume(), chest.truth());
    let counted = count(&volume, &chest.lungs());
    let near = |what: &str, counted: f64, truth: f64, bound: f64| {
        assert!((counted - truth).abs() <= bound, "{what}: {counted} and not {truth} ± {bound}: {options:?}");
    };
    let square = volume.spacing[0] * volume.spacing[0];
    let share = truth.laa_950_percent / 100.0;
    let chance = 5.0 * options.noise_hu.min(1.0) / counted.voxels.sqrt();
    let chance_percent = 100.0 * chance * (share * (1.0 - share)).sqrt();
    near("right", counted.right_ml, truth.right_ml, 1.5e-4 * square * truth.right_ml);
    near("left", counted.left_ml, truth.left_ml, 1.5e-4 * square * truth.left_ml);
    near("mean", counted.mean_hu, truth.mean_hu, 0.1 * square + chance * options.noise_hu);
    near("LAA-950", counted.laa_950_percent, truth.laa_950_percent, 0.4 * share * square + chance_percent);
}

#[test]
fn counting_voxels_gives_the_truth() {
    for seed in 1..5 {
        for (size, noise_hu) in [([64, 64, 40], 0.0), ([96, 96, 50], 20.0), ([128, 128, 60], 0.0)] {
            check(&PhantomOptions { size, seed, noise_hu, ..PhantomOptions::default() });
        }
    }
    check(&PhantomOptions::default());
    check(&PhantomOptions {
        size: [200, 160, 100],
        spots: 300,
        spot_radius_mm: 3.0,
        ..PhantomOptions::default()
    });
}

#[test]
fn healthy_lungs_have_no_emphysema() {
    let options = PhantomOptions { size: [64, 64, 40], spots: 0, noise_hu: 0.0, ..PhantomOptions::default() };
    assert_eq!(PhantomChest::new(&options).truth().laa_950_percent, 0.0);
    check(&options);
}

#[test]
fn noise_hides_emphysema_as_foretold() {
    let truth = |noise_hu| PhantomChest::new(&PhantomOptions { noise_hu, ..small() }).truth();
    let (quiet, noisy) = (truth(0.0), truth(30.0));
    // Φ((−950.5 + 980) / 30) of the spots, Φ((−950.5 + 860) / 30) of the rest, from tables.
    let [spot, rest] =
        [quiet.emphysema_ml, quiet.right_ml + quiet.left_ml - quiet.emphysema_ml - quiet.vessels_ml];
    let expected = 100.0 * (0.837_286 * spot + 0.001_279 * rest) / (quiet.right_ml + quiet.left_ml);
    assert!((noisy.laa_950_percent - expected).abs() < 3e-3, "{} is not {expected}", noisy.laa_950_percent);
    assert_eq!(quiet.mean_hu, noisy.mean_hu);
}

/// Every file of a study written on so many threads.
fn written(options: &PhantomOptions, threads: usize) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let paths =
        pool.install(|| PhantomChest::new(options).write(folder.path(), PhantomSyntax::Explicit)).unwrap();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn the_same_options_give_the_same_bytes_on_any_number_of_threads() {
    let files = written(&small(), 1);
    assert_eq!(files.len(), 24);
    assert!(files == written(&small(), 4), "files differ between 1 and 4 threads");
}

fn text(object: &DefaultDicomObject, tag: dicom_core::Tag) -> String {
    object.element(tag).unwrap().to_str().unwrap().into_owned()
}

#[test]
fn no_two_studies_share_an_identifier() {
    let mut uids = BTreeSet::new();
    let variants = [
        small(),
        PhantomOptions { seed: 2, ..small() },
        PhantomOptions { noise_hu: 5.0, ..small() },
        PhantomOptions { size: [64, 64, 25], ..small() },
    ];
    for options in &variants {
        let folder = tempfile::tempdir().unwrap();
        let chest = PhantomChest::new(options);
        let paths = chest.write(folder.path(), PhantomSyntax::Explicit).unwrap();
        let objects: Vec<_> = paths.iter().map(|path| open_file(path).unwrap()).collect();
        assert!(
            objects
                .iter()
                .all(|object| text(object, tags::STUDY_INSTANCE_UID) == chest.truth().study_instance_uid)
        );
        for tag in [tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID, tags::FRAME_OF_REFERENCE_UID] {
            assert!(uids.insert(text(&objects[0], tag)), "{tag} is shared: {options:?}");
        }
        for object in &objects {
            assert!(
                uids.insert(text(object, tags::SOP_INSTANCE_UID)),
                "an instance's UID is shared: {options:?}"
            );
        }
    }
}

#[test]
fn files_hold_the_volume_in_every_syntax() {
    let chest = PhantomChest::new(&small());
    let volume = chest.volume();
    for syntax in [PhantomSyntax::Explicit, PhantomSyntax::Implicit, PhantomSyntax::Rle] {
        let folder = tempfile::tempdir().unwrap();
        let paths = chest.write(folder.path(), syntax).unwrap();
        for (slice, path) in paths.iter().enumerate() {
            let object = open_file(path).unwrap();
            let decoded = object.decode_pixel_data().unwrap();
            let stored = decoded.data().chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
            let expected = &volume.voxels[slice * 64 * 64..(slice + 1) * 64 * 64];
            assert!(
                stored.map(|value| value - 1024).eq(expected.iter().copied()),
                "{syntax:?}, slice {slice}"
            );
            let z =
                text(&object, tags::IMAGE_POSITION_PATIENT).split('\\').next_back().unwrap().parse::<f64>();
            assert!((z.unwrap() - volume.origin[2] - volume.spacing[2] * slice as f64).abs() < 1e-4);
        }
    }
}

#[test]
fn the_validator_finds_no_error() {
    if Command::new("dciodvfy").arg("-version").output().is_err() {
        assert!(std::env::var_os("FLOW_REQUIRE_PEERS").is_none(), "dciodvfy is not installed");
        eprintln!("skipped: dciodvfy is not installed");
        return;
    }
    for syntax in [PhantomSyntax::Explicit, PhantomSyntax::Implicit, PhantomSyntax::Rle] {
        let folder = tempfile::tempdir().unwrap();
        let paths = PhantomChest::new(&small()).write(folder.path(), syntax).unwrap();
        let output = Command::new("dciodvfy").arg(&paths[12]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("CTImage"), "{syntax:?}: {said}");
        assert!(!said.contains("Error") && !said.contains("Warning"), "{syntax:?}: {said}");
    }
}

fn sample(folder: &Path, arguments: &[&str]) -> Result<(), SampleError> {
    let folder = folder.to_str().unwrap();
    Line::try_parse_from(["sample", folder].iter().chain(arguments)).unwrap().sample.run()
}

#[test]
fn the_command_writes_studies_and_their_truth() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--studies", "2", "--seed", "7", "--matrix", "32", "--slices", "16"];
    sample(folder.path(), &arguments).unwrap();
    let truths = TruthFile::read(folder.path()).unwrap();
    assert_eq!(truths.studies.len(), 2);
    for name in ["chest-7", "chest-8"] {
        let files: Vec<PathBuf> =
            std::fs::read_dir(folder.path().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 16);
        let truth = &truths.studies[&text(&open_file(&files[0]).unwrap(), tags::STUDY_INSTANCE_UID)];
        assert!(truth.right_ml > truth.left_ml && truth.left_ml > 1000.0, "{truth:?}");
    }
}

#[test]
fn a_study_that_is_there_is_left_if_it_is_the_one() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--studies", "2", "--seed", "7", "--matrix", "32", "--slices", "16"];
    sample(folder.path(), &arguments).unwrap();
    let one = ["--seed", "8", "--matrix", "32", "--slices", "16"];
    sample(folder.path(), &one).unwrap();
    assert_eq!(TruthFile::read(folder.path()).unwrap().studies.len(), 2, "what is true of the first stays");
    let other = ["--seed", "8", "--matrix", "32", "--slices", "17"];
    let refused = sample(folder.path(), &other).unwrap_err();
    assert!(matches!(&refused, SampleError::Exists(path) if path.ends_with("chest-8")), "{refused}");
    let slice = folder.path().join("chest-7/0003.dcm");
    let mut bytes = std::fs::read(&slice).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&slice, bytes).unwrap();
    let refused = sample(folder.path(), &arguments).unwrap_err();
    assert!(matches!(&refused, SampleError::Exists(path) if path.ends_with("chest-7")), "{refused}");
}

#[test]
fn wrong_arguments_are_refused_with_the_range() {
    for (arguments, range) in [
        (["--noise", "201"], "0 to 200"),
        (["--spot-radius", "many"], "1 to 20"),
        (["--matrix", "16"], "32..=2048"),
    ] {
        let said = Line::try_parse_from(["sample", "x"].iter().chain(&arguments)).unwrap_err().to_string();
        assert!(said.contains(range), "{said}");
    }
}

#[test]
fn every_option_is_explained() {
    let command = Line::command();
    for argument in command.get_arguments() {
        assert!(argument.get_help().is_some(), "{} has no help", argument.get_id());
    }
    let help = Line::command().render_long_help().to_string();
    for shown in
        ["truth.json", "[default: 256]", "Explicit VR little endian", "flow sample healthy --spots 0"]
    {
        assert!(help.contains(shown), "{shown:?} is not in the help:\n{help}");
    }
}
