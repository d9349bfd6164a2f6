//! `lungs-from-labels`: takes the lungs of another program's label map in the place of those of `find-lungs`.
//!
//! The map is a NIfTI, NRRD or DICOM Segmentation file that, for example, `run-program` gives. It is brought into
//! the grid of the volume (`imaging/labels`). A map whose voxels are those of the volume, in any order and
//! direction, is copied; another one is sampled at the nearest voxel, if it covers the volume.
//!
//! No map is believed: sides that are swapped are refused, and so are labels that lie on tissue instead of air.
//! With the lungs of `find-lungs` beside it, the agreement is measured for each lung.

use crate::imaging::account::{lung_size_reservation, reach_reservations};
use crate::imaging::bits::WORD;
use crate::imaging::labels::{
    LabelChoice, LabelRequest, PlacedLabels, PlacementExactness, is_label_map_name, read_labels,
};
use crate::imaging::organ_sides::mirrored_organs;
use crate::imaging::{Lungs, SortedSeries, Volume, VoxelSet};
use crate::step::{
    BuiltIn, Call, Fault, Parameter, ResponseFile, ResponseFiles, Step, StepOutputs, StepReservations,
};

/// Lung and the air in it are below this CT number.
const AIR_HU: i16 = -400;
/// With a smaller share of air the labels do not lie on lungs, unless much of these is consolidated.
const AIR_SHARE_LEAST: f64 = 0.5;
/// With a smaller share of air the labels lie elsewhere.
const AIR_SHARE_REFUSED: f64 = 0.1;
/// Labels are whole numbers up to this.
const LABEL_MOST: f64 = 65_535.0;
/// The longest name of a program that objects can carry (VR LO).
const NAME_LETTERS_MOST: usize = 64;

fn step() -> Step {
    let labels = |name, default: &[f64]| Parameter::numbers(name, default, 1.0, LABEL_MOST, "");
    Step::new("lungs-from-labels", 2, "Takes the lungs from another program's label map.")
        .takes::<ResponseFiles>("labels")
        .takes::<SortedSeries>("series")
        .takes::<Volume>("volume")
        .takes_optional::<Lungs>("lungs")
        .gives::<Lungs>("lungs")
        .gives::<StepReservations>("reservations")
        .parameter(
            Parameter::text("file", "", &[])
                .about("The name of the label map; needed only where `labels` has several."),
        )
        .parameter(labels("right", &[1.0]).about("The labels of the right lung: one, or one for each lobe."))
        .parameter(labels("left", &[2.0]).about("The labels of the left lung."))
        .parameter(labels("airways", &[]).about("The labels of the airways, which are not counted as lung."))
        .parameter(
            Parameter::number("dice_least", 0.95, 0.0, 1.0, "")
                .about("Less agreement with the lungs of find-lungs, for either lung, is a reservation."),
        )
        .parameter(
            Parameter::text("made_by", "another program", &[])
                .about("The name and version of what made the label map, for the results."),
        )
        .runs(|call| {
            let lungs = lungs_from_labels(call)?;
            let reservations = lungs.reservations.clone();
            Ok(StepOutputs::one("lungs", lungs).with("reservations", reservations))
        })
}

inventory::submit! { BuiltIn(step) }

fn lungs_from_labels(call: &Call) -> Result<Lungs, Fault> {
    let files = call.input::<ResponseFiles>("labels");
    let volume = call.input::<Volume>("volume");
    let choice = choice(call)?;
    let file = chosen_file(&files.0, call.text("file"))?;
    let request = LabelRequest { choice: &choice, series: call.input("series"), volume, files: &files.0 };
    let placed = read_labels(file, &request).map_err(|error| {
        Fault::new(
            format!("the label map {} cannot be used: {error}", file.name),
            "Let the program write its label map on the grid of the series, as NIfTI, NRRD or DICOM Segmentation.",
        )
    })?;
    let mut lungs = taken(placed, volume, file, &choice)?;
    lungs.reservations.0.extend(mirrored_organs(volume, &lungs));
    let made_by = call.text("made_by");
    lungs.remarks.insert(0, format!("the lungs are those of {made_by}, from the label map {}", file.name));
    let is_plain = |letter: &char| *letter != '\\' && !letter.is_control();
    lungs.made_by = Some(made_by.chars().filter(is_plain).take(NAME_LETTERS_MOST).collect());
    if let Some(own) = call.optional::<Lungs>("lungs") {
        compare(&mut lungs, own, volume, call.number("dice_least"));
    }
    Ok(lungs)
}

fn choice(call: &Call) -> Result<LabelChoice, Fault> {
    let choice = LabelChoice(["right", "left", "airways"].map(|name| call.numbers(name).to_vec()));
    let mut all: Vec<f64> = choice.0.concat();
    all.sort_by(f64::total_cmp);
    let fraction = all.iter().find(|label| label.fract() != 0.0);
    let twice = all.windows(2).find(|pair| pair[0] == pair[1]);
    let reason = match (fraction, twice) {
        (Some(label), _) => format!("the label {label} is no whole number"),
        (None, Some(pair)) => format!("the label {} is given twice", pair[0]),
        (None, None) => return Ok(choice),
    };
    Err(Fault::new(reason, "Correct `right`, `left` and `airways` in the dataflow file."))
}

fn chosen_file<'a>(files: &'a [ResponseFile], name: &str) -> Result<&'a ResponseFile, Fault> {
    let names = |files: &[&ResponseFile]| {
        let names: Vec<&str> = files.iter().take(10).map(|file| file.name.as_str()).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    let all: Vec<&ResponseFile> = files.iter().collect();
    if !name.is_empty() {
        return files.iter().find(|file| file.name == name).ok_or_else(|| {
            Fault::new(
                format!("there is no label map {name}: the files are {}", names(&all)),
                "Correct `file` in the dataflow file, or what the program writes.",
            )
        });
    }
    let maps: Vec<&ResponseFile> = all.iter().copied().filter(|file| is_label_map_name(&file.name)).collect();
    match maps[..] {
        [map] => Ok(map),
        [] => Err(Fault::new(
            format!("no file is a label map by its name: the files are {}", names(&all)),
            "Let the program write .nii, .nii.gz, .nrrd, .nhdr or .dcm.",
        )),
        _ => Err(Fault::new(
            format!("several files may be the label map: {}", names(&maps)),
            "Name one with `file` in the dataflow file.",
        )),
    }
}

/// The lungs of a map, with what their place says about it.
fn taken(
    placed: PlacedLabels,
    volume: &Volume,
    file: &ResponseFile,
    choice: &LabelChoice,
) -> Result<Lungs, Fault> {
    let PlacedLabels { sets: [mut right, mut left, airways], labels, exactness, mut remarks } = placed;
    let mut reservations = StepReservations::default();
    let mut both = right.clone();
    both.keep(&left);
    let overlap = both.count();
    if overlap > 0 {
        reservations.say(
            "labels_overlap",
            format!("{overlap} voxels are labelled as both lungs: they are counted as the right one"),
        );
    }
    right.remove(&airways);
    left.remove(&airways);
    left.remove(&right);
    if right.is_empty() && left.is_empty() {
        return Err(Fault::new(
            format!(
                "the label map {} has no voxels of the labels {} (right lung) or {} (left lung) in the images: it has {}",
                file.name,
                listed(&choice.0[0]),
                listed(&choice.0[1]),
                labels.words()
            ),
            "Set `right` and `left` in the dataflow file to the labels that the program gives.",
        ));
    }
    check_sides(&right, &left, volume, file)?;
    check_air(&right, &left, volume, file, &mut reservations)?;
    let [more, less] = [right.count() as f64, left.count() as f64];
    reservations.0.extend(lung_size_reservation(more, less));
    reservations.0.extend(reach_reservations(&right, &left));
    if exactness == PlacementExactness::Nearest {
        remarks
            .push("the label map has other voxels than the series: the nearest ones were taken".to_owned());
    }
    let ml = airways.count() as f64 * volume.voxel_ml();
    remarks.push(match airways.is_empty() {
        true => "the label map names no airways: what it counts as lung was measured as lung".to_owned(),
        false => format!("the label map's airways, {ml:.0} mL, are not counted as lung"),
    });
    Ok(Lungs { airways, remarks, reservations, ..Lungs::of(right, left) })
}

fn listed(labels: &[f64]) -> String {
    labels.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
}

/// The right lung lies on the patient's right (smaller x), whatever the heart's side.
fn check_sides(right: &VoxelSet, left: &VoxelSet, volume: &Volume, file: &ResponseFile) -> Result<(), Fault> {
    let (Some(right), Some(left)) = (middle_x(right, volume), middle_x(left, volume)) else { return Ok(()) };
    if right < left {
        return Ok(());
    }
    Err(Fault::new(
        format!(
            "the label map {} has the right lung on the patient's left: its labels are swapped, or it is mirrored",
            file.name
        ),
        "Check `right` and `left` in the dataflow file, and the orientation that the program writes.",
    ))
}

/// The patient's x of the centre of mass in mm.
fn middle_x(set: &VoxelSet, volume: &Volume) -> Option<f64> {
    let [_, rows, slices] = volume.size;
    let (mut sums, mut count) = ([0.0; 3], 0.0);
    for (y, z) in (0..slices).flat_map(|z| (0..rows).map(move |y| (y, z))) {
        for (index, word) in set.row(y, z).iter().enumerate().filter(|(_, word)| **word != 0) {
            let voxels = f64::from(word.count_ones());
            let start = (WORD * index) as f64;
            let at = [start * voxels + places_sum(*word), y as f64 * voxels, z as f64 * voxels];
            (0..3).for_each(|axis| sums[axis] += at[axis]);
            count += voxels;
        }
    }
    let along = |axis: usize| volume.axes[axis][0] * volume.spacing[axis] * sums[axis] / count;
    (count > 0.0).then(|| volume.origin[0] + (0..3).map(along).sum::<f64>())
}

/// The sum of the places of the bits that are set.
fn places_sum(mut word: u64) -> f64 {
    let mut sum = 0;
    while word != 0 {
        sum += word.trailing_zeros();
        word &= word - 1;
    }
    f64::from(sum)
}

/// What is labelled lung is air, for the most part.
fn check_air(
    right: &VoxelSet,
    left: &VoxelSet,
    volume: &Volume,
    file: &ResponseFile,
    reservations: &mut StepReservations,
) -> Result<(), Fault> {
    let air = VoxelSet::below(&volume.voxels, volume.size, AIR_HU);
    for (side, lung) in [("right", right), ("left", left)].into_iter().filter(|(_, lung)| !lung.is_empty()) {
        let mut inside = lung.clone();
        inside.keep(&air);
        let share = inside.count() as f64 / lung.count() as f64;
        let percent = 100.0 * share;
        if share < AIR_SHARE_REFUSED {
            return Err(Fault::new(
                format!(
                    "of what the label map {} has as {side} lung, {percent:.0} % are below {AIR_HU} HU: it does not lie on the lung",
                    file.name
                ),
                "Check that the program was given this series, and how it writes orientation and origin.",
            ));
        }
        if share < AIR_SHARE_LEAST {
            reservations.say("labels_off_air", format!(
                "of what is labelled {side} lung, {percent:.0} % are below {AIR_HU} HU, less than {:.0} %: it is consolidated, or the labels lie in another place",
                100.0 * AIR_SHARE_LEAST
            ));
        }
    }
    Ok(())
}

/// The agreement with the lungs that flow finds itself.
fn compare(lungs: &mut Lungs, own: &Lungs, volume: &Volume, dice_least: f64) {
    let mut agreed = Vec::new();
    for (side, theirs, ours) in [("right", &lungs.right, &own.right), ("left", &lungs.left, &own.left)] {
        let Some(dice) = dice(theirs, ours) else { continue };
        let [their_ml, our_ml] = [theirs, ours].map(|lung| lung.count() as f64 * volume.voxel_ml());
        let numbers = format!("Dice {dice:.3} ({their_ml:.0} and {our_ml:.0} mL)");
        if dice < dice_least {
            lungs.reservations.say("labels_disagree", format!(
                "the {side} lung of the label map and that of find-lungs agree with {numbers}, less than {dice_least}: one of them is wrong in part"
            ));
        } else {
            agreed.push(format!(
                "the {side} lung of the label map and that of find-lungs agree with {numbers}"
            ));
        }
    }
    lungs.remarks.extend(agreed);
}

/// The Dice coefficient; `None` if both are empty.
fn dice(one: &VoxelSet, other: &VoxelSet) -> Option<f64> {
    let mut both = one.clone();
    both.keep(other);
    let all = one.count() + other.count();
    (all > 0).then(|| 2.0 * both.count() as f64 / all as f64)
}
