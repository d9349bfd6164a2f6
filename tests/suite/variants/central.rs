//! Lungs without air beside the mediastinum, on both sides alike.

use flow::imaging::Lungs;

use super::chest::Chest;

pub const TISSUE_HU: i16 = 40;
/// The part of the lungs' box from side to side and from front to back in which what is no lung is mediastinum.
const ACROSS: std::ops::Range<f64> = 0.33..0.67;
const DEEP: std::ops::Range<f64> = 0.12..0.8;
/// Half the length of the layer, as a share of the lungs' height.
const HALF_LENGTH: f64 = 0.42;

/// A layer without air on the mediastinum of both lungs, which is thickest at half their height.
pub fn consolidated(chest: &Chest, thickest_mm: f64, hu: i16) -> Chest {
    let sideways = mediastinum_sideways(chest);
    let [columns, rows, _] = chest.volume.size;
    let down_mm = chest.volume.spacing[1];
    chest.edited(|_, voxel| {
        let from_middle = (voxel.share[2] - 0.5) / HALF_LENGTH;
        let thick_mm = thickest_mm * (1.0 - from_middle.powi(2)).max(0.0).sqrt();
        if !voxel.is_lung() || thick_mm <= 0.0 {
            return voxel;
        }
        let [x, y, z] = voxel.index;
        let away = (thick_mm / down_mm) as usize;
        let near = y.saturating_sub(away)..(y + away + 1).min(rows);
        let mut ways = near.map(|row| {
            let down = y.abs_diff(row) as f64 * down_mm;
            down.hypot(sideways[(z * rows + row) * columns + x])
        });
        if ways.any(|mm| mm < thick_mm) { voxel.with_tissue(hu) } else { voxel }
    })
}

/// The way from each voxel along its row to the mediastinum, in mm.
fn mediastinum_sideways(chest: &Chest) -> Vec<f64> {
    let [low, high] = chest.bounds(|at| chest.labels[at] != Lungs::NONE);
    let [columns, rows, _] = chest.volume.size;
    let share = |axis: usize, at: usize| (at as f64 - low[axis]) / (high[axis] - low[axis]);
    let is_mediastinum = |at: usize| {
        let (x, y) = (share(0, at % columns), share(1, at / columns % rows));
        chest.labels[at] == Lungs::NONE && ACROSS.contains(&x) && DEEP.contains(&y)
    };
    let mut ways = vec![f64::INFINITY; chest.labels.len()];
    for (row, ways) in ways.chunks_exact_mut(columns).enumerate() {
        let mut walk = |way: &mut f64, at: usize, x: usize| {
            *way = if is_mediastinum(at) { 0.0 } else { *way + chest.volume.spacing[0] };
            ways[x] = ways[x].min(*way);
        };
        let [mut forth, mut back] = [f64::INFINITY; 2];
        for x in 0..columns {
            walk(&mut forth, row * columns + x, x);
            let x = columns - 1 - x;
            walk(&mut back, row * columns + x, x);
        }
    }
    ways
}
