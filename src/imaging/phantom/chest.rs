//! The chest: anatomy laid out from a seed, and sampled at the centres of voxels.

use rayon::prelude::*;

use crate::imaging::{Lungs, Volume};
use crate::step::Digest;

use super::filling::{EmphysemaOptions, LungFilling};
use super::lung::PhantomLung;
use super::material::{Material, MaterialLayer};
use super::noise::{RandomDraws, VoxelNoise};
use super::torso;
use super::truth::StudyTruth;

/// Width of the region that a study shows, in mm, whatever its size in voxels.
const WIDTH_MM: f64 = 384.0;
const HEIGHT_MM: f64 = 300.0;
const BOTTOM_MM: f64 = -38.0;

/// The phantom's settings. The same options give the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct PhantomOptions {
    /// Columns, rows, slices. The chest always fits: more voxels are smaller voxels.
    pub size: [usize; 3],
    /// Seed of small variations of the anatomy, of the spots' places, of the noise and of every UID.
    pub seed: u64,
    /// Standard deviation of the Gaussian noise, from 0 to 1000.
    pub noise_hu: f64,
    /// Spots of emphysema in each lung, if there is room for so many; 0 for a healthy lung.
    pub spots: usize,
    /// Mean semi-axis of a spot.
    pub spot_radius_mm: f64,
}

impl Default for PhantomOptions {
    /// A study of 120 slices of 256 × 256 with visible emphysema and the noise of a usual scan.
    fn default() -> PhantomOptions {
        PhantomOptions { size: [256, 256, 120], seed: 1, noise_hu: 20.0, spots: 100, spot_radius_mm: 5.0 }
    }
}

/// A synthetic chest on a grid of voxels.
pub struct PhantomChest {
    pub(super) options: PhantomOptions,
    right: LungFilling,
    left: LungFilling,
    layers: Vec<MaterialLayer>,
    noise: VoxelNoise,
}

impl PhantomChest {
    /// # Panics
    /// If a size is not in 1 to 65 535 or the noise is out of range.
    pub fn new(options: &PhantomOptions) -> PhantomChest {
        assert!(options.size.iter().all(|voxels| (1..=65_535).contains(voxels)), "sizes are 1 to 65535");
        let [right, left] = fill_lungs(options);
        let mut layers = torso::layers(&right, &left);
        layers.extend(right.layers());
        layers.extend(left.layers());
        let noise = VoxelNoise::new(options.seed, options.noise_hu);
        PhantomChest { options: options.clone(), right, left, layers, noise }
    }

    /// The volumes and densities by formula.
    pub fn truth(&self) -> StudyTruth {
        StudyTruth::new(self.uid("study"), self.right.volumes(), self.left.volumes(), &self.noise)
    }

    /// The CT numbers, as a reader of the written files gets them.
    pub fn volume(&self) -> Volume {
        Volume {
            voxels: self.each_slice(|slice| self.ct_numbers(slice)).into(),
            size: self.options.size,
            spacing: self.spacing(),
            origin: self.position(0),
            axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        }
    }

    /// The true lungs, with vessels and spots and without the main bronchi.
    pub fn lungs(&self) -> Lungs {
        let label = |(index, material): (usize, Material)| match material.is_lung() {
            false => Lungs::NONE,
            true if self.x(index % self.options.size[0]) < 0.0 => Lungs::RIGHT,
            true => Lungs::LEFT,
        };
        let labels =
            self.each_slice(|slice| self.materials(slice).into_iter().enumerate().map(label).collect());
        Lungs::labelled(self.options.size, &labels)
    }

    /// Distances of voxel centres in mm, rounded to what a decimal string can hold.
    pub fn spacing(&self) -> [f64; 3] {
        let [columns, rows, slices] = self.options.size;
        let round_up = |length: f64, voxels: usize| (length / voxels as f64 * 1e4).ceil() / 1e4;
        let across = round_up(WIDTH_MM, columns.min(rows));
        [across, across, round_up(HEIGHT_MM, slices)]
    }

    /// The CT numbers of one slice, row by row.
    pub(super) fn ct_numbers(&self, slice: usize) -> Vec<i16> {
        let mut voxels: Vec<i16> = self.materials(slice).into_iter().map(Material::hu).collect();
        self.noise.add(slice, &mut voxels);
        voxels
    }

    /// Patient coordinates of the centre of a slice's first voxel.
    pub(super) fn position(&self, slice: usize) -> [f64; 3] {
        let z = BOTTOM_MM + self.spacing()[2] * slice as f64;
        [self.x(0), self.y(0), z].map(|length| (length * 1e5).round() / 1e5)
    }

    pub(super) fn slices(&self) -> std::ops::Range<usize> {
        0..self.options.size[2]
    }

    /// A UID made from the options and the name of the thing identified.
    pub(super) fn uid(&self, of: &str) -> String {
        // The name by which the first samples were made: theirs must not change with that of the type.
        let options = format!("{:?}", self.options).replacen("PhantomOptions", "Options", 1);
        Digest::of_parts([b"flow sample".as_slice(), options.as_bytes(), of.as_bytes()]).uid()
    }

    /// A value for each voxel, slice by slice, computed by all threads.
    fn each_slice<T: Copy + Default + Send>(&self, slice: impl Fn(usize) -> Vec<T> + Sync) -> Vec<T> {
        let mut all = vec![T::default(); self.options.size.iter().product()];
        let length = self.options.size[0] * self.options.size[1];
        let chunks = all.par_chunks_mut(length).enumerate();
        chunks.for_each(|(index, voxels)| voxels.copy_from_slice(&slice(index)));
        all
    }

    fn x(&self, column: usize) -> f64 {
        self.spacing()[0] * (column as f64 - (self.options.size[0] - 1) as f64 / 2.0)
    }

    fn y(&self, row: usize) -> f64 {
        self.spacing()[1] * (row as f64 - (self.options.size[1] - 1) as f64 / 2.0)
    }

    fn materials(&self, slice: usize) -> Vec<Material> {
        let [columns, rows, _] = self.options.size;
        let z = self.position(slice)[2];
        let mut materials = vec![Material::Air; columns * rows];
        for layer in &self.layers {
            if layer.reach.z[0] <= z && z < layer.reach.z[1] {
                self.draw(layer, z, &mut materials);
            }
        }
        materials
    }

    /// Fills the part of each row that a layer covers.
    fn draw(&self, layer: &MaterialLayer, z: f64, materials: &mut [Material]) {
        let [columns, rows, _] = self.options.size;
        let spacing = self.spacing();
        let first = |from: f64, start: f64, spacing: f64, count: usize| {
            (((from - start) / spacing).ceil().max(0.0) as usize).min(count)
        };
        let [top, bottom] = layer.reach.y.map(|y| first(y, self.y(0), spacing[1], rows));
        for row in top..bottom {
            if let Some((from, to)) = layer.shape.row(self.y(row), z) {
                let [from, to] = [from, to].map(|x| first(x, self.x(0), spacing[0], columns));
                materials[row * columns + from..row * columns + to].fill(layer.material);
            }
        }
    }
}

/// The right and the left lung with their contents, the anatomy varied by the seed.
pub(super) fn fill_lungs(options: &PhantomOptions) -> [LungFilling; 2] {
    let emphysema = EmphysemaOptions { spots: options.spots, radius_mm: options.spot_radius_mm };
    let fill = |lung: fn(&mut RandomDraws) -> PhantomLung, stream| {
        let mut draws = RandomDraws::new(options.seed, stream);
        LungFilling::new(lung(&mut draws), emphysema, &mut draws)
    };
    let (right, left) = rayon::join(|| fill(right_lung, 1), || fill(left_lung, 2));
    [right, left]
}

fn right_lung(draws: &mut RandomDraws) -> PhantomLung {
    let shape = PhantomLung {
        outwards: -1.0,
        gap: 15.5,
        centre: -8.0,
        width: 108.0,
        depth: 98.0,
        height: 238.0,
        dome: 0.33,
        bite: 0.24,
    };
    varied(shape, draws)
}

fn left_lung(draws: &mut RandomDraws) -> PhantomLung {
    let shape = PhantomLung {
        outwards: 1.0,
        gap: 15.5,
        centre: -8.0,
        width: 102.0,
        depth: 97.0,
        height: 236.0,
        dome: 0.28,
        bite: 0.52,
    };
    varied(shape, draws)
}

/// A lung with its measures varied, as they vary between people.
fn varied(lung: PhantomLung, draws: &mut RandomDraws) -> PhantomLung {
    let mut vary = |length: f64| length * draws.between(0.96, 1.04);
    PhantomLung {
        gap: vary(lung.gap),
        width: vary(lung.width),
        depth: vary(lung.depth),
        height: vary(lung.height),
        dome: vary(lung.dome),
        bite: vary(lung.bite),
        ..lung
    }
}
