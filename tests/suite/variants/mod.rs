//! The lungs of real chests, changed as patients, scanners and tables change them: each variant is right, right
//! with the reservation that it needs, or refused for the true reason.
//!
//! The truth is what is found in the unchanged chest, which other programs' results confirm (see `reference`),
//! moved and cut as the variant moves and cuts it.

mod central;
mod changes;
mod chest;

use std::collections::BTreeSet;
use std::path::PathBuf;

use flow::imaging::Lungs;
use flow::imaging::steps::find_lungs::{LungSettings, find_lungs};
use flow::step::CancelToken;

use crate::reference;
use crate::support::data::Data;

use central::{TISSUE_HU, consolidated};
use changes::{
    arms, ball_of_gas, bands, bridged, broken_trachea, bulla, cut_at, cut_on_both_sides, effusion, emphysema,
    fibrosis, field_of, full_trachea, gas_under_skin, implants, noisy, open_airway, pneumothorax,
    round_field, table, thin_as_gas, tumour_below_apex, without, without_left_with_stomach,
};
use chest::Chest;

/// What must come of a variant.
#[derive(Clone, Copy)]
enum VariantVerdict {
    /// Both lungs, without a reservation that the unchanged chest does not have.
    Right,
    /// Both lungs with a reservation that contains this.
    Reserved(&'static str),
    /// A result as above, or a refusal for this reason.
    Refused(&'static str),
    /// Both lungs, with or without a reservation that contains this.
    Perhaps(&'static str),
    /// A single lung, whose side may be doubted: in the images of one lung.
    Single,
}
use VariantVerdict::{Perhaps, Refused, Reserved, Right, Single};

struct RealVariant {
    name: &'static str,
    made: fn(&Chest) -> Chest,
    verdict: VariantVerdict,
    /// The least Dice coefficient of each lung.
    dice: f64,
}

/// Codes of reservations that are wrong where a variant does not name them by a part of its word.
const NAMED: [(&str, &str); 4] = [
    ("gas_outside_ribs", "outside the ribs"),
    ("mirrored", "mirrored"),
    ("orientation", "turned against"),
    ("sides_uncertain", "shape alone"),
];

fn variants() -> Vec<RealVariant> {
    let mut variants = scans();
    variants.extend(chests());
    variants.extend(infants());
    variants
}

/// The same chest scanned in other ways.
fn scans() -> Vec<RealVariant> {
    let of = |name, made, verdict| RealVariant { name, made, verdict, dice: 0.98 };
    let hard = |name, made, verdict| RealVariant { name, made, verdict, dice: 0.97 };
    vec![
        of("unchanged", |chest| chest.clone(), Right),
        of("feet first", |chest| chest.reversed([false, false, true]), Right),
        of("prone", |chest| chest.reversed([true, true, false]), Right),
        of("mirrored", |chest| chest.reversed([true, false, false]), Right),
        of("mirrored against its header", Chest::mirrored, Reserved("the images are mirrored")),
        of(
            "mirrored against its header, noise of 50 HU",
            |chest| noisy(chest, 50.0).mirrored(),
            Reserved("the images are mirrored"),
        ),
        of(
            "mirrored against its header, tilted to the side by 7°",
            |chest| chest.turned(1, 7.0).mirrored(),
            Reserved("the images are mirrored"),
        ),
        of("upside down against its header", Chest::upside_down, Reserved("turned against")),
        of(
            "upside down against its header, slices of 5 mm",
            |chest| chest.upside_down().thick(5.0),
            Reserved("turned against"),
        ),
        of(
            "upside down against its header, noise of 50 HU",
            |chest| noisy(chest, 50.0).upside_down(),
            Reserved("turned against"),
        ),
        of(
            "upside down against its header, trachea full",
            |chest| full_trachea(chest).upside_down(),
            Reserved("turned against"),
        ),
        of("trachea full", full_trachea, Perhaps("no trachea")),
        of("turned by 12°", |chest| chest.turned(2, 12.0), Right),
        of("turned by -24°", |chest| chest.turned(2, -24.0), Right),
        of("oblique by 15°", |chest| chest.turned(0, 15.0), Perhaps("the lungs reach")),
        of("oblique by 30°", |chest| chest.turned(0, 30.0), Perhaps("the lungs reach")),
        of("tilted to the side by 7°", |chest| chest.turned(1, 7.0), Perhaps("the lungs reach")),
        hard("slices of 5 mm", |chest| chest.thick(5.0), Right),
        hard("half the columns", |chest| chest.coarse(), Right),
        of("1 000 slices", |chest| chest.thin(1000), Right),
        of("noise of 50 HU", |chest| noisy(chest, 50.0), Right),
        hard("noise of 120 HU", |chest| noisy(chest, 120.0), Right),
    ]
}

/// Other chests and fields of view.
fn chests() -> Vec<RealVariant> {
    let of = |name, made, verdict| RealVariant { name, made, verdict, dice: 0.98 };
    let hard = |name, made, verdict| RealVariant { name, made, verdict, dice: 0.97 };
    let with_gas = |name, made| RealVariant { name, made, verdict: Reserved("outside the ribs"), dice: 0.94 };
    let one_lung = |name, made| RealVariant { name, made, verdict: Single, dice: 0.97 };
    vec![
        of("emphysema", emphysema, Right),
        of("bulla", bulla, Reserved("gas")),
        of("pneumothorax", pneumothorax, Reserved("gas in the lungs' place")),
        with_gas("gas under the skin", gas_under_skin),
        with_gas("gas under the skin, oblique by 15°", |chest| gas_under_skin(chest).turned(0, 15.0)),
        with_gas("gas under the skin, noise of 50 HU", |chest| noisy(&gas_under_skin(chest), 50.0)),
        of("left lung removed", |chest| without(chest, Lungs::LEFT), Reserved("only the right lung")),
        of("left lung removed, stomach with gas", without_left_with_stomach, Reserved("only the right lung")),
        one_lung("right lung removed, field of view of the left", |chest| {
            field_of(&without(chest, Lungs::RIGHT), Lungs::LEFT)
        }),
        one_lung("left lung removed, field of view of the right", |chest| {
            field_of(&without(chest, Lungs::LEFT), Lungs::RIGHT)
        }),
        of("right lung removed", |chest| without(chest, Lungs::RIGHT), Reserved("only the left lung")),
        of("stomach with gas", |chest| ball_of_gas(chest, [0.72, 0.3, -0.02], 30.0), Perhaps("gas")),
        of("bands in the left lung", |chest| bands(chest, &[Lungs::LEFT]), Reserved("apart from")),
        of("bands in both lungs", |chest| bands(chest, &[Lungs::LEFT, Lungs::RIGHT]), Reserved("apart from")),
        of("effusion", effusion, Perhaps("of the other's volume")),
        of(
            "16 mm consolidated beside the mediastinum",
            |chest| consolidated(chest, 16.0, TISSUE_HU),
            // In voxels of 4 mm, this is too little to be told.
            Perhaps("nearest lung"),
        ),
        of(
            "30 mm consolidated beside the mediastinum",
            |chest| consolidated(chest, 30.0, TISSUE_HU),
            Reserved("nearest lung"),
        ),
        of(
            "30 mm of -200 HU beside the mediastinum",
            |chest| consolidated(chest, 30.0, -200),
            Reserved("nearest lung"),
        ),
        hard("fibrosis of the bases", fibrosis, Right),
        of("bridged before the heart", |chest| bridged(chest, 3.0), Right),
        hard("touching widely", |chest| bridged(chest, 12.0), Right),
        of("tracheal wall broken", broken_trachea, Right),
        of("open airway", open_airway, Right),
        of("tumour below the apex", tumour_below_apex, Reserved("apart from")),
        of("cut by 2 mm", |chest| cut_at(chest, 0.99), Reserved("border of the field of view")),
        of("cut by a tenth", |chest| cut_at(chest, 0.9), Refused("field of view ends")),
        of("cut in half", |chest| cut_at(chest, 0.72), Refused("field of view ends")),
        of("cut on both sides", |chest| cut_on_both_sides(chest, 0.1), Refused("field of view ends")),
        of("round field of view", |chest| round_field(chest, 1.0), Reserved("border of the field of view")),
        of("small round field of view", |chest| round_field(chest, 50.0), Refused("field of view ends")),
        of("table with foam", table, Right),
        of("arms down", arms, Right),
        of("arms down, table with foam", |chest| table(&arms(chest)), Right),
        hard("implant with streaks", implants, Right),
    ]
}

/// Bodies of an infant's size: limits are those of adults, in proportion.
fn infants() -> Vec<RealVariant> {
    let of = |name, made, verdict| RealVariant { name, made, verdict, dice: 0.98 };
    let hard = |name, made, verdict| RealVariant { name, made, verdict, dice: 0.97 };
    vec![
        of("small", Chest::small, Right),
        of(
            "small, mirrored against its header",
            |chest| chest.small().mirrored(),
            Reserved("the images are mirrored"),
        ),
        of(
            "small, upside down against its header",
            |chest| chest.small().upside_down(),
            Reserved("turned against"),
        ),
        hard("small, pneumothorax", |chest| pneumothorax(chest).small(), Reserved("gas in the lungs' place")),
        of("small, bulla", |chest| bulla(chest).small(), Reserved("gas in the lungs' place")),
        of(
            "small, right lung removed",
            |chest| without(chest, Lungs::RIGHT).small(),
            Reserved("only the left lung"),
        ),
        of(
            "small, 30 mm of an adult consolidated beside the mediastinum",
            |chest| consolidated(chest, 30.0, TISSUE_HU).small(),
            // In voxels as wide as 4 mm are in an adult, this is too little to be told.
            Perhaps("nearest lung"),
        ),
    ]
}

fn dice(one: &[u8], other: &[u8], label: u8) -> f64 {
    let both = one.iter().zip(other).filter(|(a, b)| **a == label && **b == label).count();
    let all = one.iter().chain(other).filter(|a| **a == label).count();
    if all == 0 { 1.0 } else { 2.0 * both as f64 / all as f64 }
}

/// Checks a variant; tells the result for people, and whether it is what it must be. `usual` has the codes of the
/// reservations of the unchanged chest.
fn check(variant: &RealVariant, chest: &Chest, usual: &BTreeSet<String>) -> (bool, String) {
    let made = (variant.made)(chest);
    // As in ct-lung: an infant's lungs are found, too.
    let settings = LungSettings { volume_least_ml: 40.0, ..LungSettings::default() };
    let found = find_lungs(&made.volume, &settings, &CancelToken::default());
    let lungs = match found {
        Ok(lungs) => lungs,
        Err(fault) => {
            let meant = matches!(variant.verdict, Refused(word) if fault.reason.contains(word));
            return (meant, format!("refused: {}", fault.reason));
        }
    };
    let labels: Vec<u8> = lungs.labels().collect();
    let [right, left] = [Lungs::RIGHT, Lungs::LEFT].map(|side| dice(&labels, &made.labels, side));
    let near = right >= variant.dice && left >= variant.dice;
    let reservations = &lungs.reservations.0;
    let new: Vec<&String> =
        reservations.iter().filter(|one| !usual.contains(&one.code)).map(|one| &one.text).collect();
    let is_meant = |code: &str| match (variant.verdict, NAMED.iter().find(|(named, _)| *named == code)) {
        (_, None) => true,
        (Reserved(word), Some((_, part))) => word.contains(part),
        (Single, Some((code, _))) => *code == "sides_uncertain",
        (_, Some(_)) => false,
    };
    let said = match variant.verdict {
        _ if !reservations.iter().all(|one| is_meant(&one.code)) => false,
        Right => new.is_empty(),
        Perhaps(word) => new.iter().all(|one| one.contains(word)),
        Reserved(word) => reservations.iter().any(|one| one.text.contains(word)) || word.is_empty(),
        Single => reservations.iter().any(|one| one.code == "single_lung"),
        Refused(_) => false,
    };
    (near && said, format!("Dice {right:.4} {left:.4} {new:?}"))
}

/// Checks all variants of a chest; the ones that are not what they must be. `thin` is what must come of lungs as thin as
/// gas.
fn wrong(chest: &Chest, thin: VariantVerdict) -> Vec<String> {
    let usual = find_lungs(&chest.volume, &LungSettings::default(), &CancelToken::default()).unwrap();
    let usual: BTreeSet<String> = usual.reservations.0.into_iter().map(|one| one.code).collect();
    let mut wrong = Vec::new();
    let thin = RealVariant { name: "lungs as thin as gas", made: thin_as_gas, verdict: thin, dice: 0.97 };
    for variant in variants().into_iter().chain([thin]) {
        let (right, told) = check(&variant, chest, &usual);
        println!("{} {:40} {told}", if right { "  " } else { "✗ " }, variant.name);
        if !right {
            wrong.push(format!("{}: {told}", variant.name));
        }
    }
    wrong
}

fn check_all(archive: &str, series: &str, coarse: fn(&Chest) -> Chest, thin: VariantVerdict) {
    let Some(data) = Data::unpack(archive) else { return };
    let files: Vec<PathBuf> = data.files(series);
    let chest = coarse(&Chest::of(reference::volume(&files)));
    let wrong = wrong(&Chest::of(chest.volume), thin);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_variant_of_the_lidc_chest_is_silent_and_wrong() {
    check_all("ct-chest-lidc0314", "ct-chest-lidc0314", Chest::coarse, Reserved("as thin as gas"));
}

#[test]
fn no_variant_of_the_chest_imaging_platforms_chest_is_silent_and_wrong() {
    // In voxels of 4 mm, no trachea is certain.
    let thin = Refused("no trachea leads into them");
    check_all("ct-chest-cip64", "ct-chest-cip64/ct-64Dicom", Chest::clone, thin);
}
