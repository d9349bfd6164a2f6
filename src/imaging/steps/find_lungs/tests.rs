//! The lungs of a chest made of ellipsoids, by side, and what is refused.

use super::*;

const SIZE: [usize; 3] = [128, 96, 90];
const SPACING: [f64; 3] = [2.5, 2.5, 3.0];

/// A point in mm from the middle of the grid: x to the left, y to the back, z to the head.
type VoxelPlace = [f64; 3];

fn ball(at: VoxelPlace, centre: VoxelPlace, radii: VoxelPlace) -> bool {
    (0..3).map(|axis| ((at[axis] - centre[axis]) / radii[axis]).powi(2)).sum::<f64>() <= 1.0
}

fn lung(at: VoxelPlace, side: f64) -> bool {
    ball(at, [side * 70.0, 0.0, -20.0], [48.0, 70.0, 90.0])
}

/// The trachea down to z = 20 mm, and from there a bronchus into each lung.
fn airway(at: VoxelPlace) -> bool {
    let [x, y, z] = at;
    let trachea = z >= 20.0 && x.hypot(y) <= 9.0;
    let bronchus = (-25.0..20.0).contains(&z) && (x.abs() - (20.0 - z)).hypot(y) <= 7.0;
    trachea || (bronchus && !lung(at, 1.0) && !lung(at, -1.0))
}

/// A body with lungs at −860 HU, airways, and a nodule of 40 HU in the right lung; `extra` takes
/// precedence.
fn chest(axes: [[f64; 3]; 3], extra: impl Fn(VoxelPlace) -> Option<i16>) -> Volume {
    let hu = |at: VoxelPlace| {
        let [x, y, _] = at;
        let nodule = ball(at, [-70.0, 10.0, -20.0], [5.0; 3]);
        match extra(at) {
            Some(hu) => hu,
            None if (x / 145.0).hypot(y / 105.0) > 1.0 => -1000,
            None if nodule => 40,
            None if airway(at) => -990,
            None if lung(at, 1.0) || lung(at, -1.0) => -860,
            None => 30,
        }
    };
    let mut voxels = Vec::new();
    for index in 0..SIZE.iter().product() {
        let voxel = [index % SIZE[0], index / SIZE[0] % SIZE[1], index / SIZE[0] / SIZE[1]];
        voxels.push(hu(place(&axes, voxel)));
    }
    let origin = place(&axes, [0; 3]);
    Volume { voxels: voxels.into(), size: SIZE, spacing: SPACING, origin, axes }
}

fn place(axes: &[[f64; 3]; 3], voxel: [usize; 3]) -> VoxelPlace {
    let along = |axis: usize| (voxel[axis] as f64 - (SIZE[axis] - 1) as f64 / 2.0) * SPACING[axis];
    std::array::from_fn(|mm| (0..3).map(|axis| along(axis) * axes[axis][mm]).sum())
}

const STRAIGHT: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
const PRONE_FROM_BELOW: [[f64; 3]; 3] = [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]];

fn found(volume: &Volume) -> Lungs {
    find_lungs(volume, &LungSettings::default(), &CancelToken::default()).unwrap()
}

fn label(volume: &Volume, lungs: &Lungs, at: VoxelPlace) -> u8 {
    let index = |axis: usize| {
        let along: f64 = (0..3).map(|mm| at[mm] * volume.axes[axis][mm]).sum();
        (along / SPACING[axis] + (SIZE[axis] - 1) as f64 / 2.0).round() as usize
    };
    lungs.label([index(0), index(1), index(2)])
}

fn ml(volume: &Volume, lungs: &Lungs, side: u8) -> f64 {
    lungs.labels().filter(|label| *label == side).count() as f64 * volume.voxel_ml()
}

fn is_reserved(lungs: &Lungs, word: &str) -> bool {
    lungs.reservations.0.iter().any(|reservation| reservation.text.contains(word))
}

#[test]
fn both_lungs_by_the_patients_side() {
    for axes in [STRAIGHT, PRONE_FROM_BELOW] {
        let volume = chest(axes, |_| None);
        let lungs = found(&volume);
        // The volume of an ellipsoid, of which the airway's blurred wall takes a little.
        let truth = 4.0 / 3.0 * std::f64::consts::PI * 48.0 * 70.0 * 90.0 / 1000.0;
        for side in [Lungs::RIGHT, Lungs::LEFT] {
            let ml = ml(&volume, &lungs, side);
            assert!((ml / truth - 1.0).abs() < 0.02, "{ml} mL of {truth}");
        }
        assert_eq!(label(&volume, &lungs, [-70.0, 0.0, 30.0]), Lungs::RIGHT);
        assert_eq!(label(&volume, &lungs, [70.0, 0.0, 30.0]), Lungs::LEFT);
        assert_eq!(label(&volume, &lungs, [-70.0, 10.0, -20.0]), Lungs::RIGHT, "the nodule");
        for z in [40.0, 80.0, 120.0] {
            assert_eq!(label(&volume, &lungs, [0.0, 0.0, z]), Lungs::NONE, "the trachea at {z} mm");
        }
        assert!(lungs.remarks[0].contains("trachea"), "{:?}", lungs.remarks);
    }
}

#[test]
fn any_number_of_threads_finds_the_same() {
    let volume = chest(STRAIGHT, |_| None);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| found(&volume))
    };
    assert!(with(1) == with(5));
}

#[test]
fn the_plain_method_counts_airways_and_leaves_out_nodules() {
    let volume = chest(STRAIGHT, |_| None);
    let plain = plain_lungs(&volume, -400, 0.2);
    let below: u64 = volume.voxels.iter().zip(0..).filter(|(hu, _)| **hu < -400).count() as u64;
    assert!(plain.contains([64, 48, 80]), "the trachea");
    assert!(!plain.contains([0, 0, 0]) && plain.count() < below, "the outside");
    let nodule = [64 - 28, 48 + 4, 45 - 7];
    assert!(!plain.contains(nodule));
}

#[test]
fn touching_lungs_are_parted() {
    let bridge =
        |[x, y, z]: VoxelPlace| (x.abs() < 30.0 && (y + 30.0).abs() < 3.0 && z.abs() < 40.0).then_some(-860);
    let volume = chest(STRAIGHT, bridge);
    let lungs = found(&volume);
    assert!(
        lungs.remarks.iter().any(|remark| remark.contains("connects the lungs in the images over 3.9 cm²")),
        "{:?}",
        lungs.remarks
    );
    assert_eq!(label(&volume, &lungs, [-40.0, 0.0, 0.0]), Lungs::RIGHT);
    assert_eq!(label(&volume, &lungs, [40.0, 0.0, 0.0]), Lungs::LEFT);
    let [right, left] = [Lungs::RIGHT, Lungs::LEFT].map(|side| ml(&volume, &lungs, side));
    assert!((right / left - 1.0).abs() < 0.03, "{right} and {left} mL");
}

#[test]
fn air_in_the_gullet_is_no_lung() {
    // Narrow enough for blur to make it as dense as lung, behind the trachea and before the spine.
    let in_tube = |[x, y, z]: VoxelPlace, [across, back]: [f64; 2]| {
        (0.0..50.0).contains(&z) && (x - across).hypot(y - back) <= 4.0
    };
    for axes in [STRAIGHT, PRONE_FROM_BELOW] {
        let volume = chest(axes, |at| in_tube(at, [3.0, 25.0]).then_some(-845));
        let lungs = found(&volume);
        for z in [5.0, 25.0, 45.0] {
            assert_eq!(label(&volume, &lungs, [3.0, 25.0, z]), Lungs::NONE, "at {z} mm");
        }
    }
    // The edge of a lung in front of the trachea, where the lungs meet, is lung.
    let volume = chest(STRAIGHT, |at| in_tube(at, [3.0, -45.0]).then_some(-845));
    assert_ne!(label(&volume, &found(&volume), [3.0, -45.0, 25.0]), Lungs::NONE);
}

#[test]
fn air_that_a_lung_encloses_is_accounted_for_once() {
    let cavity = |at: VoxelPlace| {
        let is_within = |radius: f64| ball(at, [-70.0, 0.0, -20.0], [radius; 3]);
        if is_within(20.0) { Some(-450) } else { is_within(27.0).then_some(30) }
    };
    let volume = chest(STRAIGHT, cavity);
    let lungs = found(&volume);
    assert_eq!(label(&volume, &lungs, [-70.0, 0.0, -20.0]), Lungs::RIGHT);
    assert!(is_reserved(&lungs, "inside the right lung contain no air"), "{:?}", lungs.reservations);
    assert!(!is_reserved(&lungs, "contain too little air"), "{:?}", lungs.reservations);
}

#[test]
fn a_single_lung_has_its_side() {
    let without_left = |at: VoxelPlace| (at[0] > 10.0 && (lung(at, 1.0) || airway(at))).then_some(30);
    let volume = chest(STRAIGHT, without_left);
    let lungs = found(&volume);
    assert!(is_reserved(&lungs, "only the right lung was found"), "{:?}", lungs.remarks);
    assert_eq!(ml(&volume, &lungs, Lungs::LEFT), 0.0);
}

#[test]
fn what_is_no_chest_is_refused() {
    let refused = |extra: &dyn Fn(VoxelPlace) -> Option<i16>| {
        find_lungs(&chest(STRAIGHT, extra), &LungSettings::default(), &CancelToken::default())
            .unwrap_err()
            .reason
    };
    let solid = refused(&|at| (lung(at, 1.0) || lung(at, -1.0) || airway(at)).then_some(30));
    assert!(solid.contains("no lungs were found: the air-filled spaces inside the body"), "{solid}");
    let dense = refused(&|at| (lung(at, 1.0) || lung(at, -1.0)).then_some(-450));
    assert!(dense.contains("too dense to be taken for lung"), "{dense}");
    let with_gas = |at: VoxelPlace| lung(at, 1.0) && ball(at, [70.0, 0.0, -20.0], [40.0; 3]);
    let denser = refused(&|at| match () {
        () if with_gas(at) => Some(-1000),
        () => (lung(at, 1.0) || lung(at, -1.0)).then_some(-450),
    });
    assert!(denser.contains("too dense to be taken for lung"), "{denser}");
    let oedema = refused(&|at| (lung(at, 1.0) || lung(at, -1.0)).then_some(-300));
    assert!(oedema.contains("HU, too dense to be taken for lung"), "{oedema}");
    let hollow = refused(&|at| (lung(at, 1.0) || lung(at, -1.0)).then_some(-1000));
    assert!(hollow.contains("air, not lung"), "{hollow}");
    let cut = refused(&|at| lung([at[0], at[1], at[2] + 100.0], 1.0).then_some(-860));
    assert!(cut.contains("the lungs are cut: in the first slice"), "{cut}");
}

#[test]
fn images_without_the_numbers_of_air_are_refused_for_that() {
    let chest = chest(STRAIGHT, |_| None);
    let refused = |hu: &dyn Fn(i16) -> i16| {
        let voxels = chest.voxels.iter().map(|voxel| hu(*voxel)).collect();
        let volume = Volume { voxels, ..chest.clone() };
        find_lungs(&volume, &LungSettings::default(), &CancelToken::default()).unwrap_err()
    };
    let unscaled = refused(&|hu| hu + 1024);
    assert!(unscaled.reason.contains("the lowest CT number is 24 HU"), "{unscaled:?}");
    assert!(unscaled.remedy.contains("Rescale Intercept"), "{unscaled:?}");
    let window = refused(&|hu| hu.clamp(-160, 240));
    assert!(window.reason.contains("the lowest CT number is -160 HU"), "{window:?}");
}

/// Bone behind the lungs' middle has less than a shoulder blade at the side, as in old age.
fn porous_spine([x, y, z]: VoxelPlace) -> Option<i16> {
    let vertebra = x.hypot(y - 70.0) < 15.0;
    let blade = (x - 95.0).abs() < 25.0 && (77.0..84.0).contains(&y) && z < 40.0 && x.hypot(y) < 128.0;
    if vertebra { Some(130) } else { blade.then_some(700) }
}

#[test]
fn shoulder_blades_with_more_bone_than_the_spine_do_not_tell_the_sides() {
    for axes in [STRAIGHT, PRONE, PRONE_FROM_BELOW] {
        let both = found(&chest(axes, porous_spine));
        assert!(!both.right.is_empty() && !both.left.is_empty(), "{:?}", both.reservations);
        let single = chest(axes, |at| left_removed(at).or_else(|| porous_spine(at)));
        assert!(is_reserved(&found(&single), "only the right lung was found"));
    }
}

#[test]
fn padding_that_reads_as_bone_is_outside() {
    let ring = |[x, y, _]: VoxelPlace| (x.hypot(y) > 155.0).then_some(1072);
    let lungs = found(&chest(STRAIGHT, ring));
    let plain = found(&chest(STRAIGHT, |_| None));
    assert!(lungs.right == plain.right && lungs.left == plain.left, "{:?}", lungs.reservations);
}

#[test]
fn a_newborns_lung_is_no_trachea() {
    let settings = LungSettings { volume_least_ml: 10.0, ..LungSettings::default() };
    for scale in [0.35, 0.25] {
        let adult = chest(STRAIGHT, |_| None);
        let spacing = SPACING.map(|mm| scale * mm);
        let child = Volume { spacing, ..adult };
        let lungs = find_lungs(&child, &settings, &CancelToken::default()).unwrap();
        let truth = scale.powi(3) * 4.0 / 3.0 * std::f64::consts::PI * 48.0 * 70.0 * 90.0 / 1000.0;
        for side in [Lungs::RIGHT, Lungs::LEFT] {
            let ml = ml(&child, &lungs, side);
            assert!((ml / truth - 1.0).abs() < 0.1, "{ml} mL of {truth} at {scale}: {:?}", lungs.remarks);
        }
    }
}

/// The header says the opposite of what it should along two axes, so that right and left are exchanged.
#[test]
fn images_turned_against_their_header_are_named() {
    let vertebrae = |at: VoxelPlace| {
        (at[0].hypot(at[1] - 60.0) < 20.0 && !lung(at, 1.0) && !lung(at, -1.0)).then_some(300)
    };
    for axes in [STRAIGHT, PRONE, FEET_LAST] {
        let volume = chest(axes, vertebrae);
        assert!(!is_reserved(&found(&volume), "turned against"), "{axes:?}");
        let with_axes = |turned: [usize; 2]| {
            let mut axes = volume.axes;
            turned.into_iter().for_each(|axis| axes[axis] = axes[axis].map(|cosine| -cosine));
            found(&Volume { axes, ..volume.clone() })
        };
        assert!(is_reserved(&with_axes([0, 1]), "the most bone lies before the lungs"));
        assert!(is_reserved(&with_axes([0, 2]), "a trachea was found at the feet's end"));
    }
}

#[test]
fn images_turned_in_their_plane_give_the_same_lungs() {
    let volume = chest(STRAIGHT, |_| None);
    let turned = volume.transposed();
    assert!(!turned.has_rows_sideways());
    assert!(found(&turned) == found(&volume).transposed());
}

#[test]
fn a_thin_layer_of_gas_before_a_lung_is_named() {
    let layer = |at: VoxelPlace| lung(at, 1.0) && !ball(at, [70.0, 12.0, -20.0], [48.0, 70.0, 90.0]);
    let volume = chest(STRAIGHT, |at| layer(at).then_some(-1000));
    let lungs = found(&volume);
    assert!(is_reserved(&lungs, "gas in layers at the lungs' surface"), "{:?}", lungs.reservations);
    let emphysema = chest(STRAIGHT, |at| {
        let holes = (at[0] / 20.0).floor() + (at[1] / 20.0).floor() + (at[2] / 20.0).floor();
        (lung(at, 1.0) && holes.rem_euclid(2.0) == 0.0).then_some(-985)
    });
    assert!(!is_reserved(&found(&emphysema), "gas in layers"), "holes all over the lung are no layer");
}

/// What must come of a variant of the chest.
enum VariantVerdict {
    /// Both lungs by side, without a reservation.
    Right,
    /// The lungs that are there, with a reservation that contains this.
    Reserved(&'static str),
    Refused(&'static str),
}

struct ChestVariant {
    name: &'static str,
    axes: [[f64; 3]; 3],
    extra: fn(VoxelPlace) -> Option<i16>,
    /// Columns kept of the images.
    columns: usize,
    verdict: VariantVerdict,
}

fn variant(
    name: &'static str,
    axes: [[f64; 3]; 3],
    extra: fn(VoxelPlace) -> Option<i16>,
    verdict: VariantVerdict,
) -> ChestVariant {
    ChestVariant { name, axes, extra, columns: SIZE[0], verdict }
}

impl ChestVariant {
    fn within_columns(self, columns: usize) -> ChestVariant {
        ChestVariant { columns, ..self }
    }

    /// The images of a body with lengths times a scale.
    fn volume(&self, scale: f64) -> Volume {
        let whole = chest(self.axes, self.extra);
        let rows = (0..SIZE[2]).flat_map(|z| (0..SIZE[1]).map(move |y| (y, z)));
        let voxels: Vec<i16> = rows.flat_map(|(y, z)| whole.row(y, z)[..self.columns].to_vec()).collect();
        let spacing = SPACING.map(|mm| scale * mm);
        Volume { voxels: voxels.into(), size: [self.columns, SIZE[1], SIZE[2]], spacing, ..whole }
    }

    /// The volumes of lung in the images by formula, right and left.
    fn truth(&self, volume: &Volume) -> [f64; 2] {
        let mut ml = [0.0; 2];
        for index in 0..volume.size.iter().product() {
            let [columns, rows, _] = volume.size;
            let voxel = [index % columns, index / columns % rows, index / columns / rows];
            let at = place(&self.axes, voxel);
            for (side, ml) in [-1.0, 1.0].into_iter().zip(&mut ml) {
                if lung(at, side) && (self.extra)(at).is_none_or(|hu| hu == -860) {
                    *ml += volume.voxel_ml();
                }
            }
        }
        ml
    }

    fn check(&self, scale: f64) -> Result<(), String> {
        let volume = self.volume(scale);
        let settings = LungSettings { volume_least_ml: 20.0, ..LungSettings::default() };
        let found = find_lungs(&volume, &settings, &CancelToken::default());
        let (lungs, word) = match (found, &self.verdict) {
            (Err(fault), VariantVerdict::Refused(word)) if fault.reason.contains(word) => return Ok(()),
            (Err(fault), _) => return Err(format!("refused: {}", fault.reason)),
            (Ok(lungs), VariantVerdict::Refused(_)) => return Err(format!("not refused: {lungs:?}")),
            (Ok(lungs), VariantVerdict::Right) => (lungs, None),
            (Ok(lungs), VariantVerdict::Reserved(word)) => (lungs, Some(word)),
        };
        let truth = self.truth(&volume);
        let measured = [Lungs::RIGHT, Lungs::LEFT].map(|side| ml(&volume, &lungs, side));
        let near = |side: usize| (measured[side] - truth[side]).abs() <= 0.03 * truth[side];
        let said = match word {
            // Ellipsoids lie further from the trachea than lungs do.
            None => lungs.reservations.0.iter().all(|one| one.text.contains("the nearest lung")),
            Some(word) => is_reserved(&lungs, word),
        };
        if near(0) && near(1) && said {
            return Ok(());
        }
        Err(format!("{measured:.0?} mL of {truth:.0?}, {:?}, {:?}", lungs.reservations, lungs.remarks))
    }
}

const PRONE: [[f64; 3]; 3] = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]];
const MIRRORED: [[f64; 3]; 3] = [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
const FEET_LAST: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]];

fn left_removed(at: VoxelPlace) -> Option<i16> {
    (at[0] > 10.0 && (lung(at, 1.0) || airway(at))).then_some(30)
}

/// Gas below the left diaphragm.
fn stomach(at: VoxelPlace) -> Option<i16> {
    ball(at, [60.0, -30.0, -95.0], [30.0, 28.0, 24.0]).then_some(-1000).filter(|_| !lung(at, 1.0))
}

fn left_removed_with_stomach(at: VoxelPlace) -> Option<i16> {
    ball(at, [60.0, -30.0, -85.0], [30.0, 28.0, 24.0]).then_some(-1000).or_else(|| left_removed(at))
}

/// Gas before the collapsed left lung.
fn pneumothorax(at: VoxelPlace) -> Option<i16> {
    (lung(at, 1.0) && at[1] < -25.0).then_some(-1000)
}

/// A tumour across the right lung, with the apex above it.
fn tumour_below_apex(at: VoxelPlace) -> Option<i16> {
    (lung(at, -1.0) && (30.0..46.0).contains(&at[2])).then_some(30)
}

fn bands(at: VoxelPlace) -> Option<i16> {
    (lung(at, 1.0) && (at[2] + 200.0).rem_euclid(50.0) < 12.0).then_some(30)
}

fn anterior_bridge([x, y, z]: VoxelPlace) -> Option<i16> {
    (x.abs() < 30.0 && (y + 30.0).abs() < 3.0 && z.abs() < 40.0).then_some(-860)
}

/// A chest wall of 4 mm on the left side.
fn thin_wall([x, y, z]: VoxelPlace) -> Option<i16> {
    (x > 122.0 && y.abs() < 50.0 && (-80.0..20.0).contains(&z)).then_some(-1000)
}

fn hole_in_wall(at: VoxelPlace) -> Option<i16> {
    let [x, y, z] = at;
    (x > 80.0 && y.hypot(z + 20.0) < 9.0 && !lung(at, 1.0)).then_some(-1000)
}

/// A solid ball of 38 mm inside the right lung.
fn mass(at: VoxelPlace) -> Option<i16> {
    ball(at, [-75.0, 0.0, -40.0], [19.0; 3]).then_some(40)
}

/// An airway that opens to the front, as at the mouth.
fn open_airway([x, y, z]: VoxelPlace) -> Option<i16> {
    (z > 115.0 && x.abs() < 9.0 && y < 0.0).then_some(-1000)
}

/// A table filled with foam under a patient whose arms reach both sides of the images.
fn arms_and_foam([x, y, z]: VoxelPlace) -> Option<i16> {
    let arm = x.abs() > 120.0 && y.abs() < 60.0 && (x / 145.0).hypot(y / 105.0) > 1.0;
    let shell = (108.0..112.0).contains(&y);
    if arm {
        return Some(30);
    }
    if shell { Some(-300) } else { (y >= 112.0).then_some(if z > 0.0 { -895 } else { -890 }) }
}

fn cut_below(at: VoxelPlace) -> Option<i16> {
    lung([at[0], at[1], at[2] + 100.0], 1.0).then_some(-860)
}

fn variants() -> Vec<ChestVariant> {
    use VariantVerdict::{Refused, Reserved, Right};
    let mut all = vec![
        variant("anterior junction", STRAIGHT, anterior_bridge, Right),
        variant("open airway", STRAIGHT, open_airway, Right),
        variant("arms at the sides, foam below", STRAIGHT, arms_and_foam, Right),
        variant("cut below", STRAIGHT, cut_below, Refused("the lungs are cut: in the first slice")),
        variant("cut at the side", STRAIGHT, |_| None, Reserved("border of the field of view"))
            .within_columns(109),
        variant("cut in the middle", STRAIGHT, |_| None, Refused("field of view ends inside"))
            .within_columns(81),
    ];
    let positions = [STRAIGHT, PRONE, MIRRORED, FEET_LAST, PRONE_FROM_BELOW].into_iter();
    for axes in positions {
        all.extend([
            variant("usual", axes, |_| None, Right),
            variant("stomach", axes, stomach, Reserved("gas")),
            variant("left lung removed", axes, left_removed, Reserved("only the right lung was found")),
            variant(
                "left removed, stomach",
                axes,
                left_removed_with_stomach,
                Reserved("only the right lung"),
            ),
            variant("pneumothorax", axes, pneumothorax, Reserved("gas in the lungs' place")),
            variant("tumour below the apex", axes, tumour_below_apex, Reserved("apart from the lungs")),
            variant("bands", axes, bands, Reserved("apart from the lungs")),
            variant("thin wall", axes, thin_wall, Reserved("the chest wall is thin or open")),
            variant("hole in the wall", axes, hole_in_wall, Reserved("the chest wall is thin or open")),
            variant("mass", axes, mass, Reserved("inside the right lung contain no air")),
        ]);
    }
    all
}

#[test]
fn no_variant_of_any_size_is_silent_and_wrong() {
    let all = variants();
    let sizes = [1.0, 0.35].into_iter().flat_map(|scale| all.iter().map(move |variant| (variant, scale)));
    let wrong: Vec<String> = sizes
        .filter_map(|(variant, scale)| {
            let problem = variant.check(scale).err()?;
            Some(format!("{} {:?}, scale {scale}: {problem}", variant.name, variant.axes))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
