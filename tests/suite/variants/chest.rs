//! A chest with the truth about each voxel, and what moves both.

use flow::imaging::steps::find_lungs::{LungSettings, find_lungs};
use flow::imaging::{Lungs, Volume};
use flow::step::CancelToken;

pub const GAS_HU: i16 = -1000;

/// A chest with the label of each voxel, x fastest.
#[derive(Clone)]
pub struct Chest {
    pub volume: Volume,
    pub labels: Vec<u8>,
    pub airways: Vec<bool>,
}

/// A voxel that a variant may change: its place in the lungs' box is 0 to 1 from right to left, front to back
/// and feet to head.
#[derive(Clone, Copy)]
pub struct ChestVoxel {
    pub index: [usize; 3],
    /// Millimetres from the first voxel.
    pub mm: [f64; 3],
    /// The place in the box around both lungs.
    pub share: [f64; 3],
    pub hu: i16,
    pub label: u8,
}

impl ChestVoxel {
    pub fn with(self, hu: i16) -> ChestVoxel {
        ChestVoxel { hu, label: Lungs::NONE, ..self }
    }

    pub fn with_tissue(self, hu: i16) -> ChestVoxel {
        self.with(hu + noise(self.index, 15.0) as i16)
    }

    pub fn is_lung(&self) -> bool {
        self.label != Lungs::NONE
    }
}

impl Chest {
    /// A chest whose axes are the patient's: x to the left, y to the back, z to the head.
    pub fn of(volume: Volume) -> Chest {
        let lungs = find_lungs(&volume, &LungSettings::default(), &CancelToken::default()).unwrap();
        let labels = lungs.labels().collect();
        let [columns, rows, _] = volume.size;
        let airways = (0..volume.voxels.len())
            .map(|at| lungs.airways.contains([at % columns, at / columns % rows, at / columns / rows]))
            .collect();
        Chest { volume, labels, airways }
    }

    /// A body with lengths of 0.4 of this one.
    pub fn small(&self) -> Chest {
        let spacing = self.volume.spacing.map(|mm| 0.4 * mm);
        Chest { volume: Volume { spacing, ..self.volume.clone() }, ..self.clone() }
    }

    pub fn place(&self, at: usize) -> [usize; 3] {
        let [columns, rows, _] = self.volume.size;
        [at % columns, at / columns % rows, at / columns / rows]
    }

    /// The box around the voxels that a rule accepts.
    pub fn bounds(&self, accepts: impl Fn(usize) -> bool) -> [[f64; 3]; 2] {
        let mut bounds = [[f64::INFINITY; 3], [f64::NEG_INFINITY; 3]];
        for at in (0..self.labels.len()).filter(|at| accepts(*at)) {
            let place = self.place(at);
            for axis in 0..3 {
                bounds[0][axis] = bounds[0][axis].min(place[axis] as f64);
                bounds[1][axis] = bounds[1][axis].max(place[axis] as f64);
            }
        }
        bounds
    }

    pub fn edited(&self, change: impl Fn(&Chest, ChestVoxel) -> ChestVoxel) -> Chest {
        let [low, high] = self.bounds(|at| self.labels[at] != Lungs::NONE);
        let mut chest = self.clone();
        let mut voxels = self.volume.voxels.to_vec();
        for (at, hu) in voxels.iter_mut().enumerate() {
            let index = self.place(at);
            let voxel = change(
                self,
                ChestVoxel {
                    index,
                    mm: std::array::from_fn(|axis| index[axis] as f64 * self.volume.spacing[axis]),
                    share: std::array::from_fn(|axis| {
                        (index[axis] as f64 - low[axis]) / (high[axis] - low[axis])
                    }),
                    hu: *hu,
                    label: self.labels[at],
                },
            );
            *hu = voxel.hu;
            chest.labels[at] = voxel.label;
        }
        chest.volume.voxels = voxels.into();
        chest
    }

    /// The middle of a share of the lungs' box, in mm.
    pub fn mm(&self, share: [f64; 3]) -> [f64; 3] {
        let [low, high] = self.bounds(|at| self.labels[at] != Lungs::NONE);
        std::array::from_fn(|axis| {
            (low[axis] + share[axis] * (high[axis] - low[axis])) * self.volume.spacing[axis]
        })
    }

    /// The chest on another grid: each new voxel is the one nearest to a point, in voxels of this one.
    pub fn resampled(&self, size: [usize; 3], source: impl Fn([f64; 3]) -> [f64; 3]) -> Chest {
        let mut voxels = Vec::new();
        let mut labels = Vec::new();
        let mut airways = Vec::new();
        for at in 0..size.iter().product() {
            let place = [at % size[0], at / size[0] % size[1], at / size[0] / size[1]];
            let [x, y, z] = source(place.map(|index| index as f64)).map(f64::round);
            let within =
                [x, y, z].iter().zip(self.volume.size).all(|(at, size)| *at >= 0.0 && (*at as usize) < size);
            let from = if within {
                (z as usize * self.volume.size[1] + y as usize) * self.volume.size[0] + x as usize
            } else {
                usize::MAX
            };
            voxels.push(if within { self.volume.voxels[from] } else { GAS_HU });
            labels.push(if within { self.labels[from] } else { Lungs::NONE });
            airways.push(within && self.airways[from]);
        }
        Chest { volume: Volume { voxels: voxels.into(), size, ..self.volume.clone() }, labels, airways }
    }

    /// A box of the grid.
    pub fn cropped(&self, low: [usize; 3], high: [usize; 3]) -> Chest {
        let size = std::array::from_fn(|axis| high[axis] - low[axis]);
        self.resampled(size, |at| std::array::from_fn(|axis| at[axis] + low[axis] as f64))
    }

    /// The same chest, its grid's axes turned round.
    pub fn reversed(&self, reversed: [bool; 3]) -> Chest {
        let size = self.volume.size;
        let mut chest = self.resampled(size, |at| {
            std::array::from_fn(
                |axis| if reversed[axis] { (size[axis] - 1) as f64 - at[axis] } else { at[axis] },
            )
        });
        for axis in (0..3).filter(|axis| reversed[*axis]) {
            chest.volume.axes[axis] = chest.volume.axes[axis].map(|along| -along);
        }
        chest
    }

    /// The images mirrored from side to side against their header, which says the opposite sides of the lungs.
    pub fn mirrored(&self) -> Chest {
        self.against_header([true, false, false])
    }

    /// A patient whose feet came first, where the header says the head.
    pub fn upside_down(&self) -> Chest {
        self.against_header([true, false, true])
    }

    /// The images turned round along two axes or mirrored along one, from side to side among them, and the same header.
    fn against_header(&self, reversed: [bool; 3]) -> Chest {
        let mut chest = self.reversed(reversed);
        chest.volume.axes = self.volume.axes;
        let opposite = |label: u8| match label {
            Lungs::RIGHT => Lungs::LEFT,
            Lungs::LEFT => Lungs::RIGHT,
            other => other,
        };
        chest.labels = chest.labels.into_iter().map(opposite).collect();
        chest
    }

    /// The patient turned about an axis of the grid, which stays.
    pub fn turned(&self, about: usize, degrees: f64) -> Chest {
        let (size, spacing) = (self.volume.size, self.volume.spacing);
        let [one, other] = [(about + 1) % 3, (about + 2) % 3];
        let (sine, cosine) = degrees.to_radians().sin_cos();
        self.resampled(size, |at| {
            let middle = |axis: usize| (size[axis] - 1) as f64 / 2.0;
            let mm = |axis: usize| (at[axis] - middle(axis)) * spacing[axis];
            let mut from = at;
            from[one] = (cosine * mm(one) - sine * mm(other)) / spacing[one] + middle(one);
            from[other] = (sine * mm(one) + cosine * mm(other)) / spacing[other] + middle(other);
            from
        })
    }

    /// The mean of some slices as one.
    pub fn thick(&self, mm: f64) -> Chest {
        let many = ((mm / self.volume.spacing[2]).round() as usize).max(1);
        let [columns, rows, slices] = self.volume.size;
        let size = [columns, rows, slices / many];
        let mut chest = self.resampled(size, |[x, y, z]| [x, y, (z as usize * many + many / 2) as f64]);
        let mean = |at: usize| {
            let (pixel, z) = (at % (columns * rows), at / (columns * rows));
            let values = (0..many)
                .map(|slice| i32::from(self.volume.voxels[(z * many + slice) * columns * rows + pixel]));
            (values.sum::<i32>() / many as i32) as i16
        };
        chest.volume.voxels = (0..size.iter().product()).map(mean).collect::<Vec<i16>>().into();
        chest.volume.spacing[2] *= many as f64;
        chest
    }

    /// More slices, each the nearest of the old ones.
    pub fn thin(&self, slices: usize) -> Chest {
        let share = self.volume.size[2] as f64 / slices as f64;
        let last = (self.volume.size[2] - 1) as f64;
        let mut chest = self.resampled([self.volume.size[0], self.volume.size[1], slices], |[x, y, z]| {
            [x, y, (z * share).floor().min(last)]
        });
        chest.volume.spacing[2] *= share;
        chest
    }

    /// Every second column and row.
    pub fn coarse(&self) -> Chest {
        let [columns, rows, slices] = self.volume.size;
        let mut chest = self.resampled([columns / 2, rows / 2, slices], |[x, y, z]| [2.0 * x, 2.0 * y, z]);
        chest.volume.spacing[0] *= 2.0;
        chest.volume.spacing[1] *= 2.0;
        chest
    }
}

/// Evenly spread numbers from 0 to 1 by position, the same at each run.
pub fn scatter([x, y, z]: [usize; 3], seed: u64) -> f64 {
    let mut state = (x as u64) << 40 ^ (y as u64) << 20 ^ z as u64 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for _ in 0..2 {
        state ^= state >> 30;
        state = state.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state ^= state >> 27;
        state = state.wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^= state >> 31;
    }
    (state >> 11) as f64 / (1_u64 << 53) as f64
}

/// Noise with a standard deviation, as the sum of twelve evenly spread numbers.
pub fn noise(at: [usize; 3], deviation: f64) -> f64 {
    ((0..12).map(|part| scatter(at, part + 1)).sum::<f64>() - 6.0) * deviation
}
