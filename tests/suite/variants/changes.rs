//! What patients, scanners and tables do to a chest.

use flow::imaging::Lungs;

use super::chest::{Chest, ChestVoxel, GAS_HU, noise, scatter};

const TISSUE_HU: i16 = 40;

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
}

pub fn noisy(chest: &Chest, deviation: f64) -> Chest {
    chest.edited(|_, voxel| {
        let hu = f64::from(voxel.hu) + noise(voxel.index, deviation);
        ChestVoxel { hu: hu.round() as i16, ..voxel }
    })
}

/// Holes of about 8 mm in a third of the lungs.
pub fn emphysema(chest: &Chest) -> Chest {
    chest.edited(|_, voxel| {
        let cell = voxel.mm.map(|mm| (mm / 8.0) as usize);
        let hole = voxel.is_lung() && voxel.hu < -700 && scatter(cell, 7) < 0.33;
        ChestVoxel { hu: if hole { -985 } else { voxel.hu }, ..voxel }
    })
}

/// Lungs as thin as gas, of −965 HU throughout.
pub fn thin_as_gas(chest: &Chest) -> Chest {
    chest.edited(|_, voxel| {
        let is_thin = voxel.is_lung() && voxel.hu < -500;
        let hu = (-965.0 + noise(voxel.index, 12.0)).round() as i16;
        ChestVoxel { hu: if is_thin { hu } else { voxel.hu }, ..voxel }
    })
}

pub fn ball_of_gas(chest: &Chest, share: [f64; 3], radius_mm: f64) -> Chest {
    let centre = chest.mm(share);
    chest.edited(|_, voxel| if distance(voxel.mm, centre) < radius_mm { voxel.with(GAS_HU) } else { voxel })
}

/// A bulla with a wall, inside of a lung.
pub fn bulla(chest: &Chest) -> Chest {
    let centre = chest.mm([0.22, 0.5, 0.6]);
    chest.edited(|_, voxel| match distance(voxel.mm, centre) {
        far if far < 26.0 && voxel.is_lung() => voxel.with(GAS_HU),
        far if far < 30.0 && voxel.is_lung() => voxel.with(-500),
        _ => voxel,
    })
}

/// Gas before the left lung, whose pleura is a thin line.
pub fn pneumothorax(chest: &Chest) -> Chest {
    let [low, high] = chest.bounds(|at| chest.labels[at] == Lungs::LEFT);
    chest.edited(|_, voxel| {
        let depth = (voxel.index[1] as f64 - low[1]) / (high[1] - low[1]);
        if voxel.label == Lungs::LEFT && depth < 0.35 { voxel.with(GAS_HU) } else { voxel }
    })
}

/// A lung full of tissue.
pub fn without(chest: &Chest, side: u8) -> Chest {
    chest.edited(|_, voxel| if voxel.label == side { voxel.with_tissue(TISSUE_HU) } else { voxel })
}

/// The field of view of one lung, with 12 mm around it.
pub fn field_of(chest: &Chest, side: u8) -> Chest {
    let [low, high] = chest.bounds(|at| chest.labels[at] == side);
    let [_, _, slices] = chest.volume.size;
    let margin = |axis: usize| 12.0 / chest.volume.spacing[axis];
    let first = |axis: usize| (low[axis] - margin(axis)).max(0.0) as usize;
    let end = |axis: usize| ((high[axis] + margin(axis)) as usize + 1).min(chest.volume.size[axis]);
    chest.cropped([first(0), first(1), 0], [end(0), end(1), slices])
}

/// Water in the trachea and the main bronchi.
pub fn full_trachea(chest: &Chest) -> Chest {
    let walls = (4.0 / chest.volume.spacing[0]).ceil() as usize;
    chest.edited(|chest, voxel| {
        let [x, y, z] = voxel.index;
        let [columns, rows, _] = chest.volume.size;
        let near = |at: usize, end: usize| at.saturating_sub(walls)..(at + walls + 1).min(end);
        let is_near =
            near(y, rows).any(|y| near(x, columns).any(|x| chest.airways[(z * rows + y) * columns + x]));
        if is_near && !voxel.is_lung() && voxel.hu < -200 { voxel.with_tissue(10) } else { voxel }
    })
}

/// The stomach with gas, high under the diaphragm where a left lung was.
pub fn without_left_with_stomach(chest: &Chest) -> Chest {
    ball_of_gas(&without(chest, Lungs::LEFT), [0.72, 0.4, 0.2], 38.0)
}

/// Sheets of fluid across lungs.
pub fn bands(chest: &Chest, sides: &[u8]) -> Chest {
    chest.edited(|_, voxel| {
        if sides.contains(&voxel.label) && voxel.mm[2].rem_euclid(50.0) < 12.0 {
            voxel.with_tissue(15)
        } else {
            voxel
        }
    })
}

/// Fluid behind the right lung, level as in a patient who lies on the back.
pub fn effusion(chest: &Chest) -> Chest {
    let [low, high] = chest.bounds(|at| chest.labels[at] == Lungs::RIGHT);
    chest.edited(|_, voxel| {
        let depth = (voxel.index[1] as f64 - low[1]) / (high[1] - low[1]);
        if voxel.label == Lungs::RIGHT && depth > 0.7 { voxel.with_tissue(12) } else { voxel }
    })
}

/// Denser lungs below; what is denser than the threshold is no air.
pub fn fibrosis(chest: &Chest) -> Chest {
    chest.edited(|_, voxel| {
        let dense = voxel.is_lung() && voxel.share[2] < 0.3;
        ChestVoxel { hu: if dense { voxel.hu.max(-900) + 270 } else { voxel.hu }, ..voxel }
    })
}

/// Lung between the lungs, before the heart.
pub fn bridged(chest: &Chest, thick_mm: f64) -> Chest {
    let middle = chest.mm([0.5, 0.3, 0.6]);
    chest.edited(|_, voxel| {
        let far: [f64; 3] = std::array::from_fn(|axis| (voxel.mm[axis] - middle[axis]).abs());
        let bridge = far[0] < 50.0 && far[1] < thick_mm && far[2] < 30.0 && !voxel.is_lung();
        ChestVoxel { hu: if bridge { -860 } else { voxel.hu }, ..voxel }
    })
}

/// A hole from the trachea into the right lung.
pub fn broken_trachea(chest: &Chest) -> Chest {
    let [low, high] = chest.bounds(|at| chest.airways[at]);
    let z = (low[2] + 0.75 * (high[2] - low[2])) as usize;
    let row = chest.bounds(|at| chest.airways[at] && chest.place(at)[2] == z);
    let y = ((row[0][1] + row[1][1]) / 2.0) as usize;
    chest.edited(|chest, voxel| {
        let near = voxel.index[2].abs_diff(z) as f64 * chest.volume.spacing[2] < 3.0
            && voxel.index[1].abs_diff(y) as f64 * chest.volume.spacing[1] < 3.0;
        let between = (voxel.index[0] as f64) < row[1][0] && voxel.share[0] > 0.2;
        let hole = near && between && !voxel.is_lung();
        ChestVoxel { hu: if hole { -930 } else { voxel.hu }, ..voxel }
    })
}

/// An airway that is open to the air before the patient, as at the mouth.
pub fn open_airway(chest: &Chest) -> Chest {
    let last = chest.volume.size[2] - 1;
    let slices = (8.0 / chest.volume.spacing[2]).ceil() as usize;
    let [low, high] = chest.bounds(|at| chest.airways[at]);
    let top = chest.bounds(|at| chest.airways[at] && chest.place(at)[2] as f64 == high[2]);
    let _ = low;
    chest.edited(|_, voxel| {
        let [x, y, z] = voxel.index;
        let ahead = x as f64 >= top[0][0] && x as f64 <= top[1][0] && (y as f64) < top[1][1];
        let up = z as f64 >= high[2]
            && x as f64 >= top[0][0]
            && x as f64 <= top[1][0]
            && y as f64 >= top[0][1]
            && y as f64 <= top[1][1];
        if up || (ahead && z + slices > last) { voxel.with(GAS_HU) } else { voxel }
    })
}

/// A tumour across the right lung, with the apex above it.
pub fn tumour_below_apex(chest: &Chest) -> Chest {
    let [low, high] = chest.bounds(|at| chest.labels[at] == Lungs::RIGHT);
    chest.edited(|_, voxel| {
        let height = (voxel.index[2] as f64 - low[2]) / (high[2] - low[2]);
        if voxel.label == Lungs::RIGHT && (0.78..0.88).contains(&height) {
            voxel.with_tissue(TISSUE_HU)
        } else {
            voxel
        }
    })
}

/// The columns beyond a share of the left lung are missing.
pub fn cut_at(chest: &Chest, share: f64) -> Chest {
    let [low, high] = chest.bounds(|at| chest.labels[at] != Lungs::NONE);
    let columns = (low[0] + share * (high[0] - low[0])) as usize;
    let [_, rows, slices] = chest.volume.size;
    chest.cropped([0; 3], [columns, rows, slices])
}

/// The field of view ends inside both lungs.
pub fn cut_on_both_sides(chest: &Chest, share: f64) -> Chest {
    let [low, high] = chest.bounds(|at| chest.labels[at] != Lungs::NONE);
    let column = |share: f64| (low[0] + share * (high[0] - low[0])) as usize;
    let [_, rows, slices] = chest.volume.size;
    chest.cropped([column(share), 0, 0], [column(1.0 - share), rows, slices])
}

/// A round field of view that just cuts the lungs.
pub fn round_field(chest: &Chest, inside_mm: f64) -> Chest {
    let [low, high] = chest.bounds(|at| chest.labels[at] != Lungs::NONE);
    let spacing = chest.volume.spacing;
    let centre = [0, 1].map(|axis| (low[axis] + high[axis]) / 2.0 * spacing[axis]);
    let radius = (0..chest.labels.len())
        .filter(|at| chest.labels[*at] != Lungs::NONE)
        .map(|at| {
            let [x, y, _] = chest.place(at);
            (x as f64 * spacing[0] - centre[0]).hypot(y as f64 * spacing[1] - centre[1])
        })
        .fold(0.0, f64::max);
    chest.edited(|_, voxel| {
        let far = (voxel.mm[0] - centre[0]).hypot(voxel.mm[1] - centre[1]);
        if far > radius - inside_mm { voxel.with(-3024) } else { voxel }
    })
}

/// A table with a core of foam, wider than the patient.
pub fn table(chest: &Chest) -> Chest {
    let [_, high] = chest.bounds(|at| chest.volume.voxels[at] > -300);
    let top = (high[1] * chest.volume.spacing[1])
        .min((chest.volume.size[1] as f64 - 4.0) * chest.volume.spacing[1] - 24.0);
    chest.edited(|_, voxel| match voxel.mm[1] - top {
        depth if depth < 0.0 => voxel,
        depth if depth < 4.0 => voxel.with(voxel.hu.max(-250)),
        _ => voxel.with(-890 + noise(voxel.index, 4.0) as i16),
    })
}

/// Arms beside the chest, up to both sides of the images.
pub fn arms(chest: &Chest) -> Chest {
    let [columns, rows, _] = chest.volume.size;
    let wide = columns as f64 * chest.volume.spacing[0];
    let middle = rows as f64 * chest.volume.spacing[1] / 2.0;
    let outside = outside(chest);
    chest.edited(|chest, voxel| {
        let from_side = voxel.mm[0].min(wide - voxel.mm[0]);
        let [x, y, z] = voxel.index;
        let at = (z * chest.volume.size[1] + y) * chest.volume.size[0] + x;
        let arm = from_side < 30.0 && (voxel.mm[1] - middle).abs() < 35.0;
        if arm && outside[at] { voxel.with_tissue(TISSUE_HU) } else { voxel }
    })
}

/// The air that is connected with the sides of the images, slice by slice.
fn outside(chest: &Chest) -> Vec<bool> {
    let [columns, rows, slices] = chest.volume.size;
    let mut outside = vec![false; chest.labels.len()];
    for z in 0..slices {
        let first = z * columns * rows;
        let mut stack: Vec<usize> = (0..columns * rows)
            .filter(|at| {
                at % columns == 0
                    || at % columns == columns - 1
                    || *at < columns
                    || *at >= columns * (rows - 1)
            })
            .collect();
        while let Some(at) = stack.pop() {
            if outside[first + at] || chest.volume.voxels[first + at] > -300 {
                continue;
            }
            outside[first + at] = true;
            let [x, y] = [at % columns, at / columns];
            stack.extend((x > 0).then(|| at - 1));
            stack.extend((x + 1 < columns).then_some(at + 1));
            stack.extend((y > 0).then(|| at - columns));
            stack.extend((y + 1 < rows).then_some(at + columns));
        }
    }
    outside
}

/// Metal in the wall of the chest, with bright and dark streaks.
pub fn implants(chest: &Chest) -> Chest {
    let centre = chest.mm([0.15, -0.08, 0.5]);
    chest.edited(|chest, voxel| {
        let near = (voxel.mm[2] - centre[2]).abs() < 2.0 * chest.volume.spacing[2].max(2.0);
        let far = (voxel.mm[0] - centre[0]).hypot(voxel.mm[1] - centre[1]);
        if near && far < 8.0 {
            return voxel.with(3000);
        }
        if !near || far > 160.0 {
            return voxel;
        }
        let angle = (voxel.mm[1] - centre[1]).atan2(voxel.mm[0] - centre[0]);
        let streak = (angle * 12.0).sin() * 3000.0 / (far + 8.0);
        ChestVoxel { hu: (f64::from(voxel.hu) + streak).clamp(-1024.0, 3071.0) as i16, ..voxel }
    })
}

/// Gas under the skin of the left side, 8 mm thick, with walls in it; it is joined with the lung where no rib is between.
pub fn gas_under_skin(chest: &Chest) -> Chest {
    let [columns, rows, slices] = chest.volume.size;
    let across = chest.volume.spacing[0];
    let outside = outside(chest);
    let middle = chest.mm([0.8, 0.5, 0.55]);
    // Of each row: the last column of the left lung, the last one of the body, and whether bone is beside the lung.
    let walls: Vec<Option<(usize, usize, bool)>> = (0..rows * slices)
        .map(|row| {
            let voxels = row * columns..(row + 1) * columns;
            let lung = voxels.clone().rposition(|at| chest.labels[at] == Lungs::LEFT)?;
            let skin = voxels.clone().rposition(|at| !outside[at])?;
            let beside = lung..(lung + (24.0 / across) as usize).min(columns);
            let has_bone = beside.into_iter().any(|x| chest.volume.voxels[voxels.start + x] >= 150);
            Some((lung, skin, has_bone))
        })
        .collect();
    chest.edited(|_, voxel| {
        let [x, y, z] = voxel.index;
        let Some((lung, skin, has_bone)) = walls[z * rows + y] else { return voxel };
        let depth = (x as f64 - lung as f64) * across;
        let is_wall = depth > 0.0
            && (skin as f64 - x as f64) * across > 6.0
            && !voxel.is_lung()
            && (-250..150).contains(&voxel.hu);
        let is_layer = (16.0..24.0).contains(&depth) && (0.3..0.85).contains(&voxel.share[2]);
        let is_near = (voxel.mm[1] - middle[1]).abs() < 8.0 && (voxel.mm[2] - middle[2]).abs() < 20.0;
        let is_gap = is_near && depth < 24.0 && !has_bone;
        if is_wall && (is_layer || is_gap) {
            voxel.with(-550 + noise(voxel.index, 60.0) as i16)
        } else {
            voxel
        }
    })
}
