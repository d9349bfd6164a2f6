//! The account of the air inside the body: what is not counted as lung, and what that means for the results.
//!
//! A remark is for information. A reservation limits the meaning of the results. Volumes come in the lengths of an adult, and
//! are told in those of the body.

use super::Volume;
use super::airways::AirwayEnd;
use super::bits::{VoxelBall, VoxelBounds, VoxelSet};
use super::body::{BodyInside, FloodedVolumes};
use super::body_size::{BodyScale, amount};
use super::border::chord_mm;
use super::coarse::CoarseGrid;
use super::components::VoxelComponents;
use super::gas::FoundGas;
use super::lung_hollows::EndHollows;
use super::organ_sides::OrganSides;
use super::pieces::{AirPieces, LungColumns, PieceKind};
use super::sides::LungSides;
use crate::printable::beyond;
use crate::step::{Fault, StepReservation, StepReservations};

/// The largest area in the first or last slice, as a share of the widest; with more, the lungs are cut.
const CUT_SHARE_MOST: f64 = 0.25;
/// The largest share of a lung's volume that may lie outside the field of view, by estimate.
const OUTSIDE_SHARE_MOST: f64 = 0.1;
/// The least volume that is named.
const NAMED_ML: f64 = 10.0;
/// The share of the lungs that may be lost without a reservation.
const LOST_SHARE_MOST: f64 = 0.01;
/// The left lung of healthy people has 80 to 95 % of the right's volume. A lung with less than this share of the
/// other has lost volume, or a part of it was not found.
const SMALL_SHARE: f64 = 0.65;
/// Less than this outside the body, as dense as lung, can be bedding between its parts.
const FLOODED_LEAST_ML: f64 = 50.0;
/// A piece with a smaller share of all that is counted as lung is no lung of its own.
const APART_SHARE: f64 = 0.15;
/// The share of a lung beyond the spine that makes its side doubtful.
const OVER_SPINE_SHARE: f64 = 0.15;
/// Gas so near to lung lies in the chest.
const BESIDE_MM: f64 = 12.0;
const LOW_DENSITY_HU: i16 = -950;
pub struct AirAccount {
    pub remarks: Vec<String>,
    pub reservations: StepReservations,
    scale: BodyScale,
    lung_ml: f64,
    /// Gas beside the lungs that is not connected with them.
    chest_gas_ml: f64,
}

impl AirAccount {
    /// The account of all pieces of air inside the body. What belongs to the airways is not in it: a trachea that a
    /// tumour or a narrow place parts from the lungs is a piece of its own. Neither is what the closed lungs enclose and
    /// count. `accounted` are the cells of both.
    pub fn of(pieces: &AirPieces, grid: &CoarseGrid, accounted: &VoxelSet, scale: BodyScale) -> AirAccount {
        let mut account = AirAccount {
            remarks: Vec::new(),
            reservations: StepReservations::default(),
            scale,
            lung_ml: pieces.kind_ml(PieceKind::Lung),
            chest_gas_ml: 0.0,
        };
        let beside = pieces.cells_of(grid, PieceKind::Lung).dilate(&VoxelBall::new(BESIDE_MM, grid.spacing));
        let mut touching = vec![false; pieces.kinds.len()];
        pieces.labelled(grid).for_each(|(at, piece)| touching[piece] |= beside.contains(at));
        let volumes = volumes_without(pieces, grid, accounted);
        let ml = |kind: PieceKind, near: Option<bool>| -> f64 {
            let of_kind = pieces.of_kind(|other| other == kind).into_iter();
            of_kind
                .filter(|piece| near.is_none_or(|near| touching[*piece] == near))
                .map(|piece| volumes[piece])
                .sum()
        };
        account.chest_gas_ml = ml(PieceKind::Gas, Some(true));
        account
            .note(ml(PieceKind::Bowel, None), "of air below the lungs are taken for bowel and not counted");
        account.note(ml(PieceKind::Gas, Some(false)), "of gas away from the lungs are not counted");
        account.note(
            ml(PieceKind::Open, None),
            "of air that is open to the outside in other slices, or lies under the skin, are not counted",
        );
        let (between, what) =
            (ml(PieceKind::Mediastinal, None), "of air between the lungs, as in the gullet, are not counted");
        if between > LOST_SHARE_MOST * account.lung_ml {
            account.limit("mediastinal_air", between, what);
        } else {
            account.note(between, what);
        }
        account.note(
            ml(PieceKind::Dense, Some(false)),
            "of foam or other dense air away from the lungs are not counted",
        );
        account.limit(
            "dense_air",
            ml(PieceKind::Dense, Some(true)),
            "beside the lungs contain too little air to be taken for lung and are not counted",
        );
        account.limit(
            "distant_air",
            ml(PieceKind::Distant, None),
            "of air as dense as lung, far from the lungs, are not counted",
        );
        let fragments = ml(PieceKind::Fragment, Some(true));
        if fragments > LOST_SHARE_MOST * account.lung_ml {
            account.limit("small_pieces", fragments, "of air in small pieces are not counted");
        }
        account
    }

    /// Lungs as thin as gas.
    pub fn describe_thin(&mut self, is_thin: bool) {
        if is_thin {
            self.reserve(
                "thin_as_gas",
                "what was taken for lungs is as thin as gas, and a trachea leads into it: as with very severe emphysema; if it \
                 is gas, as in a pneumothorax on both sides, volumes and densities are wrong, so look at the pictures",
            );
        }
    }

    /// Lung that outside air seems to reach through the chest wall.
    pub fn describe_wall(&mut self, flooded: &FloodedVolumes) {
        self.limit(
            "open_chest_wall",
            flooded.kept_ml,
            "of lung lie where the chest wall is thin or open in the images, and are counted: their surface there is not certain",
        );
        if flooded.lost_ml >= FLOODED_LEAST_ML {
            self.limit(
                "air_outside",
                flooded.lost_ml,
                "of air as dense as lung lie between parts of the body and open to the outside, and are not counted: a part of a lung may be missing",
            );
        }
    }

    /// Adds what remains of the lungs' air without airways and gas. `counted` are the cells of the closed lungs.
    pub fn add_inner(&mut self, pieces: &AirPieces, grid: &CoarseGrid, counted: &VoxelSet) {
        let volumes = volumes_without(pieces, grid, counted);
        let ml = |accepts: fn(PieceKind) -> bool| -> f64 {
            pieces.of_kind(accepts).into_iter().map(|piece| volumes[piece]).sum()
        };
        let lost = ml(|kind| kind != PieceKind::Lung);
        let gas = ml(|kind| matches!(kind, PieceKind::Gas | PieceKind::Open));
        self.note(gas, "of gas connected with the lungs, as in the upper airways, are not counted");
        self.describe_apart(pieces);
        if lost - gas > LOST_SHARE_MOST * self.lung_ml {
            let what = "of air connected with the lungs by the airways alone are not counted";
            self.limit("detached_air", lost - gas, what);
        }
    }

    /// Pieces that are counted as lung though no air connects them with the lungs.
    fn describe_apart(&mut self, pieces: &AirPieces) {
        let lungs = pieces.of_kind(|kind| kind == PieceKind::Lung);
        let least = APART_SHARE * pieces.kind_ml(PieceKind::Lung);
        let apart =
            lungs.into_iter().map(|piece| pieces.ml(piece)).filter(|ml| (NAMED_ML..least).contains(ml));
        self.limit(
            "apart_from_lungs",
            apart.sum(),
            "of air apart from the lungs, but near them and as dense, are counted as lung: they can be lung behind fluid or a tumour, or gas of the gullet, of bowel or under the skin",
        );
    }

    /// The lumen of the airways, or none.
    pub fn describe_airways(&mut self, volume: &Volume, lumen: &VoxelSet) {
        if lumen.is_empty() {
            return self.reserve(
                "no_trachea",
                "no trachea was found in the lungs' air: airways in it are counted as lung",
            );
        }
        let ml = amount(self.scale.ml(lumen.count() as f64 * volume.voxel_ml()));
        self.remark(format!("the trachea and the main bronchi, {ml} mL, are not counted as lung"));
    }

    /// Signs that the images are turned against what their header says. A certain trachea at either end outweighs the shape
    /// of the lungs' ends.
    pub fn describe_directions(
        &mut self,
        is_spine_misplaced: bool,
        certain_trachea: Option<AirwayEnd>,
        organs: Option<OrganSides>,
        ends: Option<EndHollows>,
    ) {
        let is_trachea_below = certain_trachea == Some(AirwayEnd::Feet);
        let shape = ends.filter(|_| certain_trachea.is_none()).and_then(|ends| ends.reservation(self.scale));
        let signs = [
            (
                is_spine_misplaced,
                "the most bone lies before the lungs or at a side, not behind them as the spine does",
            ),
            (is_trachea_below, "a trachea was found at the feet's end of the lungs"),
        ];
        for (_, sign) in signs.into_iter().filter(|(is_seen, _)| *is_seen) {
            self.reserve(
                "orientation",
                format!(
                    "{sign}: if the images are turned against what their header says, right and left are exchanged and \
                     upper and lower parts may be, too"
                ),
            );
        }
        let is_turned = is_spine_misplaced || is_trachea_below || shape.is_some();
        self.reservations.0.extend(shape);
        if !is_turned {
            self.reservations.0.extend(organs.and_then(|organs| organs.reservation(self.scale)));
        }
    }

    pub fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    pub fn reserve(&mut self, code: &str, text: impl Into<String>) {
        self.reservations.say(code, text);
    }

    fn note(&mut self, ml: f64, what: &str) {
        if ml >= NAMED_ML {
            self.remark(format!("{} mL {what}", amount(self.scale.ml(ml))));
        }
    }

    fn limit(&mut self, code: &str, ml: f64, what: &str) {
        if ml >= NAMED_ML {
            self.reserve(code, format!("{} mL {what}", amount(self.scale.ml(ml))));
        }
    }

    /// Lungs that leave the image at the first or last slice.
    ///
    /// # Errors
    /// If they are cut where they are wide.
    pub fn check_ends(
        &mut self,
        bounds: &VoxelBounds,
        size: [usize; 3],
        sides: &LungSides,
    ) -> Result<(), Fault> {
        let depth = bounds.high[2] - bounds.low[2];
        let area = |z: usize| [&sides.right, &sides.left].map(|side| side.slice_count(z)).iter().sum::<u64>();
        let areas: Vec<u64> = (0..depth).map(area).collect();
        let widest = areas.iter().copied().max().unwrap_or(0) as f64;
        let ends =
            [("first", bounds.low[2] == 0, areas[0]), ("last", bounds.high[2] == size[2], areas[depth - 1])];
        for (end, reached, area) in ends {
            let share = area as f64 / widest;
            if !reached || area == 0 {
                continue;
            }
            let percent = 100.0 * share;
            if share > CUT_SHARE_MOST {
                return Err(Fault::new(
                    format!(
                        "the lungs are cut: in the {end} slice they have {percent:.0} % of their largest area"
                    ),
                    "Send a series that covers the lungs from top to bottom.",
                ));
            }
            self.reserve("reach_end_slice", format!(
                "the lungs reach the {end} slice, with {percent:.0} % of their largest area: a part may be missing"
            ));
        }
        Ok(())
    }

    /// Lungs that the field of view cuts at the sides. What lies outside is estimated slice by slice as the cap
    /// of a parabola: over a length L with slope s at its ends it has the area s L²/6.
    ///
    /// # Errors
    /// If a large part of the lungs is outside.
    pub fn check_border(
        &mut self,
        grid: &CoarseGrid,
        body: &BodyInside,
        pieces: &AirPieces,
        sides: &LungSides,
        voxel_ml: f64,
    ) -> Result<(), Fault> {
        let slice_cells = grid.size[0] * grid.size[1];
        let (mut area, mut outside_ml) = (0.0, 0.0);
        for stretch in &body.border {
            let is_lung =
                |cell: usize| pieces.kind_at(stretch.z * slice_cells + cell) == Some(PieceKind::Lung);
            let part = stretch.part(is_lung);
            let chord = chord_mm(grid, part);
            area += chord * grid.spacing[2];
            outside_ml += stretch.slope * chord.powi(2) / 6.0 * grid.spacing[2] / 1000.0;
        }
        if area == 0.0 {
            return Ok(());
        }
        let found = [&sides.right, &sides.left].into_iter().filter(|lung| !lung.is_empty());
        let inside_ml = found.map(|lung| lung.count() as f64 * voxel_ml).fold(f64::INFINITY, f64::min);
        let cm2 = self.scale.cm2(area / 100.0);
        let is_much = outside_ml > OUTSIDE_SHARE_MOST * inside_ml;
        let outside_ml = self.scale.ml(outside_ml);
        if is_much {
            return Err(Fault::new(
                format!(
                    "the lungs are cut: the field of view ends inside them over {cm2:.0} cm², about {outside_ml:.0} mL are outside"
                ),
                "Send a reconstruction whose field of view holds the whole chest.",
            ));
        }
        self.reserve("field_of_view", format!(
            "the lungs reach the border of the field of view over {cm2:.0} cm²: about {outside_ml:.0} mL are outside and not counted"
        ));
        Ok(())
    }

    pub fn describe_sides(&mut self, sides: &LungSides) {
        let [right, left] = [sides.right.count() as f64, sides.left.count() as f64];
        self.reservations.0.extend(lung_size_reservation(right, left));
        // Pleurae in contact, an airway, or a thin place that blur has bridged.
        if right > 0.0 && left > 0.0 && sides.cut_mm2 > 0.0 {
            let cm2 = self.scale.cm2(sides.cut_mm2 / 100.0);
            self.remark(format!(
                "air connects the lungs in the images over {cm2:.1} cm², and was parted there"
            ));
        }
        if let Some(doubt) = sides.doubt {
            self.reserve("sides_uncertain", doubt.text());
        }
        for (side, over) in ["right", "left"].into_iter().zip(sides.over_spine) {
            if over > OVER_SPINE_SHARE {
                let percent = 100.0 * over;
                self.reserve("sides_uncertain", format!(
                    "{percent:.0} % of what was taken for the {side} lung lie on the other side of the spine: the sides are not certain"
                ));
            }
        }
    }

    /// Large bodies without air that the right and the left lung enclose.
    pub fn describe_dense(&mut self, [right_ml, left_ml]: [f64; 2]) {
        for (side, ml) in [("right", right_ml), ("left", left_ml)] {
            let what = format!(
                "inside the {side} lung contain no air, as a tumour or consolidated lung, and are counted in its volume"
            );
            self.limit("dense_inside", ml, &what);
        }
    }

    /// Gas in layers at the lungs' surface, and what is counted as lung outside the ribs.
    pub fn describe_surface(&mut self, layers_ml: f64, outside_ribs_ml: f64) {
        self.limit(
            "gas_at_surface",
            layers_ml,
            "of gas in layers at the lungs' surface, as in a small pneumothorax, in bullae or in the mediastinum, are counted as lung",
        );
        self.limit(
            "gas_outside_ribs",
            outside_ribs_ml,
            "or more of gas outside the ribs, as under the skin or between muscles (subcutaneous emphysema), are counted as lung",
        );
    }

    /// Gas in the chest, and the numbers with it.
    pub fn describe_gas(
        &mut self,
        volume: &Volume,
        grid: &CoarseGrid,
        bounds: &VoxelBounds,
        sides: &LungSides,
        gas: &FoundGas,
    ) {
        self.limit(
            "chest_gas",
            self.chest_gas_ml,
            "of gas beside the lungs, as in a pneumothorax or in the stomach, are not counted as lung",
        );
        if gas.pockets.is_empty() {
            return;
        }
        let mut all = sides.right.clone();
        all.add(&sides.left);
        let pockets = GasPockets::of(volume, grid, bounds, &all, gas);
        self.limit(
            "gas_below",
            pockets.below_ml,
            "of gas under the lungs, as in the stomach, are not counted",
        );
        let pockets_ml = pockets.inside.count() as f64 * volume.voxel_ml();
        if pockets_ml < NAMED_ML {
            return;
        }
        all.add(&pockets.inside);
        let mut low = all.clone();
        low.keep_below(|y, z| volume.row(y, z), bounds, LOW_DENSITY_HU);
        let ml = self.scale.ml(all.count() as f64 * volume.voxel_ml());
        let gas_ml = amount(self.scale.ml(pockets_ml));
        let percent = 100.0 * low.count() as f64 / all.count() as f64;
        self.reserve("gas_in_lungs", format!(
            "{gas_ml} mL of gas in the lungs' place, as in a pneumothorax or a bulla, are not counted as lung; with it the volume is {ml:.0} mL, of which {percent:.1} % are below {LOW_DENSITY_HU} HU"
        ));
    }
}

/// The volumes of pieces in mL without some cells, by the share of each piece's cells.
fn volumes_without(pieces: &AirPieces, grid: &CoarseGrid, without: &VoxelSet) -> Vec<f64> {
    let mut cells = vec![[0_u32; 2]; pieces.kinds.len()];
    for (at, piece) in pieces.labelled(grid) {
        let [all, left_out] = &mut cells[piece];
        *all += 1;
        *left_out += u32::from(without.contains(at));
    }
    let share = |[all, left_out]: [u32; 2]| 1.0 - f64::from(left_out) / f64::from(all.max(1));
    cells.into_iter().enumerate().map(|(piece, cells)| pieces.ml(piece) * share(cells)).collect()
}

/// Pockets of gas that were part of the lungs' air, by place.
struct GasPockets {
    /// In the lungs' place.
    inside: VoxelSet,
    /// Pockets with lung above and none below, in the lungs' lower half.
    below_ml: f64,
}

impl GasPockets {
    fn of(
        volume: &Volume,
        grid: &CoarseGrid,
        bounds: &VoxelBounds,
        lung: &VoxelSet,
        gas: &FoundGas,
    ) -> GasPockets {
        let all = &gas.all();
        let mut around = grid.cells_in(lung, bounds);
        around.add(&grid.cells_in(&gas.rim, bounds));
        let columns = LungColumns::of(grid, &around, volume.axes[2][2] >= 0.0);
        let components = VoxelComponents::of(all);
        let mut places = vec![Vec::new(); components.regions.len()];
        let cells = grid.cells_in(all, bounds);
        for (y, z, _) in grid.rows() {
            for at in cells.columns(y, z).map(|x| [x, y, z]) {
                let middle = std::array::from_fn(|axis| grid.middle(axis, at[axis]) - bounds.low[axis]);
                let piece = components.label(middle).expect("the cell's middle is gas");
                places[piece].push(at);
            }
        }
        let all = 0..places.len();
        let (below, inside): (Vec<usize>, Vec<usize>) =
            all.partition(|piece| columns.are_below(&places[*piece]));
        let voxels = below.iter().map(|piece| components.regions[*piece].voxels).sum::<u64>();
        GasPockets { inside: components.select(&inside), below_ml: voxels as f64 * volume.voxel_ml() }
    }
}

/// A reservation if one lung is missing or small, by the voxels of the right and the left one.
pub fn lung_size_reservation(right: f64, left: f64) -> Option<StepReservation> {
    let reservation = |code: &str, text: String| Some(StepReservation { code: code.to_owned(), text });
    match (right > 0.0, left > 0.0) {
        (true, false) => return reservation("single_lung", "only the right lung was found".to_owned()),
        (false, true) => return reservation("single_lung", "only the left lung was found".to_owned()),
        (false, false) => return None,
        (true, true) => {}
    }
    let percent = 100.0 * right.min(left) / right.max(left);
    if percent >= 100.0 * SMALL_SHARE {
        return None;
    }
    let small = if right < left { "right" } else { "left" };
    let text = format!(
        "the {small} lung has {} % of the other's volume, less than {:.0} %: it is collapsed, consolidated or removed in part, or not all of it was found",
        beyond(percent, 100.0 * SMALL_SHARE, 0),
        100.0 * SMALL_SHARE
    );
    reservation("small_lung", text)
}

/// Reservations for given lungs that reach the first or last slice or the sides of the images.
pub fn reach_reservations(right: &VoxelSet, left: &VoxelSet) -> Vec<StepReservation> {
    let size = right.size();
    let mut reservations = StepReservations::default();
    let bounds = [right, left].map(VoxelSet::bounds);
    let ends = [("first", 0), ("last", size[2] - 1)];
    let area = |z: usize| [right, left].map(|lung| lung.slice_count(z)).iter().sum::<u64>();
    let widest = (0..size[2]).map(area).max().unwrap_or(0).max(1) as f64;
    for (end, z) in ends {
        let percent = 100.0 * area(z) as f64 / widest;
        if percent > 0.0 {
            reservations.say("reach_end_slice", format!(
                "the lungs reach the {end} slice, with {percent:.0} % of their largest area: a part may be missing"
            ));
        }
    }
    let reaches_side = |bounds: &VoxelBounds| {
        [0, 1].into_iter().any(|axis| bounds.low[axis] == 0 || bounds.high[axis] == size[axis])
    };
    if bounds.iter().flatten().any(reaches_side) {
        reservations.say(
            "field_of_view",
            "the lungs reach the border of the field of view: what lies outside is not counted",
        );
    }
    reservations.0
}
