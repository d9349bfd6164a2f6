//! `measure-densities`: densitometry of both lungs and of each, of their thirds, cores and peels.
//!
//! All measures but clusters are computed from one exact count per CT number and part, so the cost is one pass,
//! whatever is asked for. Shares are of voxels strictly below a threshold (LAA-950 and similar: Gevenois et al.
//! 1996, AJRCCM 154:187), or from one to below another (high attenuation: Lederer et al. 2009, AJRCCM 180:407);
//! the standard deviation is the population's. The adjusted density is what the lung would have at a reference
//! volume if it were a sponge: density times volume stays the same (Dirksen 2008, Proc Am Thorac Soc 5:925;
//! Stoel et al. 2008, 5:919). A lung that was not found is left out.

use rayon::prelude::*;

use crate::imaging::bits::{WORD, some_below};
use crate::imaging::clusters::{CLUSTER_HU, ClusterSizes};
use crate::imaging::counts::CountTable;
use crate::imaging::lung_parts::LungDivision;
use crate::imaging::{
    LungDensities, LungPart, LungRegion, Lungs, PartDensity, RegionDensity, Volume, VoxelCounts, VoxelSet,
    density_g_l,
};
use crate::step::{BuiltIn, Call, Fault, Parameter, Step, StepOutputs};

/// The fewest slices of a task: counting them takes long compared with adding up the task's tables.
const TASK_SLICES: usize = 64;
/// High attenuation areas: from the first to below the second.
const HIGH_ATTENUATION_HU: [f64; 2] = [-600.0, -250.0];

/// Settings of the measurements besides the moments.
#[derive(Clone, Debug, PartialEq)]
pub struct DensitySettings {
    pub thresholds_hu: Vec<f64>,
    pub histogram_start_hu: i32,
    /// The end of the histogram, exclusive.
    pub histogram_end_hu: i32,
    pub histogram_width_hu: u32,
    /// The volume of both lungs to which densities are adjusted.
    pub reference_ml: f64,
    /// The peel's thickness.
    pub peel_mm: f64,
}

impl Default for DensitySettings {
    fn default() -> DensitySettings {
        DensitySettings {
            thresholds_hu: vec![-950.0, -910.0, -856.0],
            histogram_start_hu: -1050,
            histogram_end_hu: 150,
            histogram_width_hu: 10,
            reference_ml: 6000.0,
            peel_mm: 15.0,
        }
    }
}

fn step() -> Step {
    let default = DensitySettings::default();
    let thresholds = Parameter::numbers("thresholds_hu", &default.thresholds_hu, -1024.0, 3071.0, "HU")
        .about("The percentage of voxels below each of these is given.");
    let start =
        Parameter::number("histogram_start_hu", default.histogram_start_hu.into(), -2048.0, 0.0, "HU")
            .about("The histogram begins here.");
    let end = Parameter::number("histogram_end_hu", default.histogram_end_hu.into(), 1.0, 3072.0, "HU")
        .about("The histogram ends before this.");
    let width = Parameter::number("histogram_width_hu", default.histogram_width_hu.into(), 1.0, 100.0, "HU")
        .about("Width of the histogram's bins.");
    let reference = Parameter::number("reference_ml", default.reference_ml, 500.0, 15_000.0, "mL")
        .about("Volume of both lungs to which the adjusted density is computed.");
    let peel = Parameter::number("peel_mm", default.peel_mm, 4.0, 50.0, "mm")
        .about("What is nearer to the lung's surface is peel, the rest is core.");
    Step::new("measure-densities", 2, "Measures volume and densities of both lungs and of each.")
        .takes::<Volume>("volume")
        .takes::<Lungs>("lungs")
        .gives::<LungDensities>("densities")
        .parameter(thresholds)
        .parameter(start)
        .parameter(end)
        .parameter(width)
        .parameter(reference)
        .parameter(peel)
        .runs(|call| {
            let densities = measure_densities(call.input("volume"), call.input("lungs"), &settings(call))?;
            Ok(StepOutputs::one("densities", densities))
        })
}

fn settings(call: &Call) -> DensitySettings {
    DensitySettings {
        thresholds_hu: call.numbers("thresholds_hu").to_vec(),
        histogram_start_hu: call.number("histogram_start_hu") as i32,
        histogram_end_hu: call.number("histogram_end_hu") as i32,
        histogram_width_hu: call.number("histogram_width_hu") as u32,
        reference_ml: call.number("reference_ml"),
        peel_mm: call.number("peel_mm"),
    }
}

inventory::submit! { BuiltIn(step) }

/// Measures both lungs together, the right one and the left one, each if it has voxels.
///
/// # Errors
/// If no voxel is labelled as lung.
///
/// # Panics
/// If the lungs are not on the volume's grid.
pub fn measure_densities(
    volume: &Volume,
    lungs: &Lungs,
    settings: &DensitySettings,
) -> Result<LungDensities, Fault> {
    let of = |lung| LungCounts::of(volume, lung, settings);
    let (right, left) = rayon::join(|| of(&lungs.right), || of(&lungs.left));
    let both = LungCounts::sum(&right, &left);
    let measure = Measure { voxel_ml: volume.voxel_ml(), settings };
    let regions = [(LungRegion::Both, &both), (LungRegion::Right, &right), (LungRegion::Left, &left)];
    let mut regions: Vec<RegionDensity> = regions
        .into_iter()
        .filter(|(_, counts)| !counts.all.is_empty())
        .map(|(lung, counts)| measure.region(lung, counts))
        .collect();
    let volume_ml = match &regions[..] {
        [] => {
            return Err(Fault::new("no voxel is labelled as lung", "Send a chest CT that shows the lungs."));
        }
        [both, _, _] => Some(both.volume_ml),
        _ => None,
    };
    for region in &mut regions {
        let density = density_g_l(region.percentile_15_hu);
        region.percentile_15_adjusted_g_l = volume_ml.map(|ml| density * ml / settings.reference_ml);
    }
    Ok(LungDensities { regions, reference_ml: settings.reference_ml, peel_mm: settings.peel_mm })
}

/// The counts of a lung and its parts, and its low attenuation clusters.
struct LungCounts {
    all: VoxelCounts,
    parts: Vec<(LungPart, VoxelCounts)>,
    clusters: ClusterSizes,
}

impl LungCounts {
    fn of(volume: &Volume, lung: &VoxelSet, settings: &DensitySettings) -> LungCounts {
        assert_eq!(volume.size, lung.size(), "lungs on the volume's grid");
        let division = LungDivision::of(volume, lung, settings.peel_mm);
        let CountedLung { tables, low } = count(volume, lung, &division);
        let counts = tables.each_ref().map(|pair| pair.each_ref().map(CountTable::counts));
        let depth = |depth: usize| VoxelCounts::sum(counts.iter().map(|pair| &pair[depth]));
        let thirds = LungDivision::THIRDS.into_iter().zip(counts.iter().map(VoxelCounts::sum));
        let depths = [(LungPart::Core, depth(CORE)), (LungPart::Peel, depth(PEEL))];
        LungCounts {
            all: VoxelCounts::sum(counts.iter().flatten()),
            parts: thirds.chain(depths).collect(),
            clusters: ClusterSizes::of(&low, 1000.0 * volume.voxel_ml()),
        }
    }

    fn sum(one: &LungCounts, other: &LungCounts) -> LungCounts {
        let parts = one.parts.iter().zip(&other.parts);
        LungCounts {
            all: VoxelCounts::sum([&one.all, &other.all]),
            parts: parts.map(|(one, other)| (one.0, VoxelCounts::sum([&one.1, &other.1]))).collect(),
            clusters: ClusterSizes::sum(&one.clusters, &other.clusters),
        }
    }
}

/// The tables of a lung: by third, then core and peel.
type PartTables = [[CountTable; 2]; 3];

const CORE: usize = 0;
const PEEL: usize = 1;

/// The counts of a lung, and its low attenuation areas.
struct CountedLung {
    tables: PartTables,
    /// On the grid of the box around the lung.
    low: VoxelSet,
}

/// Counts the voxels of a lung and finds the low ones in one pass: reading them takes longer than the rest.
fn count(volume: &Volume, lung: &VoxelSet, division: &LungDivision) -> CountedLung {
    let Some(bounds) = lung.bounds() else {
        return CountedLung { tables: PartTables::default(), low: lung.clone() };
    };
    let bounds = bounds.widened(0.0, volume.spacing, volume.size);
    let [left, front, first] = bounds.low;
    let mut low = lung.crop(&bounds);
    let words_per_row = low.words_per_row();
    let tasks =
        low.slices_mut().with_min_len(TASK_SLICES).fold(PartTables::default, |mut tables, (z, slice)| {
            let z = z + first;
            let [core, peel] = &mut tables[division.third(z)];
            for (y, words) in (front..).zip(slice.chunks_exact_mut(words_per_row)) {
                let core_words = &division.core_row(y, z)[left / WORD..];
                let voxels = volume.row(y, z)[left..].chunks(WORD);
                let words = words.iter_mut().zip(core_words).zip(voxels);
                for ((word, core_word), voxels) in words.filter(|((word, _), _)| **word != 0) {
                    let inside = *word;
                    // Loads all of them at once: counting them one by one would wait for each.
                    *word &= some_below(voxels, CLUSTER_HU);
                    core.add(voxels, inside & core_word);
                    peel.add(voxels, inside & !core_word);
                }
            }
            tables
        });
    let tables = tasks.reduce(PartTables::default, |mut some, other| {
        some.iter_mut().flatten().zip(other.iter().flatten()).for_each(|(table, other)| table.merge(other));
        some
    });
    CountedLung { tables, low }
}

/// The way from counts to measures.
struct Measure<'a> {
    voxel_ml: f64,
    settings: &'a DensitySettings,
}

impl Measure<'_> {
    fn region(&self, lung: LungRegion, region: &LungCounts) -> RegionDensity {
        let counts = &region.all;
        let mean_hu = counts.mean_of(|hu| hu);
        let parts = region.parts.iter().filter(|(_, counts)| !counts.is_empty());
        RegionDensity {
            lung,
            voxels: counts.total(),
            volume_ml: self.volume_ml(counts),
            mean_hu,
            standard_deviation_hu: counts.mean_of(|hu| (hu - mean_hu).powi(2)).sqrt(),
            median_hu: counts.percentile(0.5),
            percentile_15_hu: counts.percentile(0.15),
            percentile_15_adjusted_g_l: None,
            below: self.below(counts),
            high_attenuation_percent: high_attenuation_percent(counts),
            clusters: region.clusters.distribution(1000.0 * self.voxel_ml),
            parts: parts.map(|(part, counts)| self.part(*part, counts)).collect(),
            histogram: self.histogram(counts),
            histogram_start_hu: self.settings.histogram_start_hu,
            histogram_width_hu: self.settings.histogram_width_hu,
            counts: counts.clone(),
        }
    }

    fn part(&self, part: LungPart, counts: &VoxelCounts) -> PartDensity {
        PartDensity {
            part,
            voxels: counts.total(),
            volume_ml: self.volume_ml(counts),
            mean_hu: counts.mean_of(|hu| hu),
            percentile_15_hu: counts.percentile(0.15),
            below: self.below(counts),
            high_attenuation_percent: high_attenuation_percent(counts),
        }
    }

    fn volume_ml(&self, counts: &VoxelCounts) -> f64 {
        counts.total() as f64 * self.voxel_ml
    }

    fn below(&self, counts: &VoxelCounts) -> Vec<(f64, f64)> {
        let thresholds = self.settings.thresholds_hu.iter();
        thresholds.map(|threshold| (*threshold, counts.percent(|hu| hu < *threshold))).collect()
    }

    fn histogram(&self, counts: &VoxelCounts) -> Vec<u64> {
        let (start, end) = (self.settings.histogram_start_hu, self.settings.histogram_end_hu);
        let width = self.settings.histogram_width_hu as i32;
        let mut bins = vec![0; ((end - start).max(0) as usize).div_ceil(width as usize)];
        for (hu, count) in counts.occurring().filter(|(hu, _)| (start..end).contains(hu)) {
            bins[((hu - start) / width) as usize] += count;
        }
        bins
    }
}

fn high_attenuation_percent(counts: &VoxelCounts) -> f64 {
    let [low, high] = HIGH_ATTENUATION_HU;
    counts.percent(|hu| low <= hu && hu < high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(right: &[i16], left: &[i16]) -> Result<LungDensities, Fault> {
        let none = [30_i16, -990];
        let voxels = [&none, right, &none, left, &none].concat();
        let labels = [
            vec![Lungs::NONE; 2],
            vec![Lungs::RIGHT; right.len()],
            vec![Lungs::NONE; 2],
            vec![Lungs::LEFT; left.len()],
            vec![Lungs::NONE; 2],
        ];
        let size = [voxels.len(), 1, 1];
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let volume = Volume { voxels: voxels.into(), size, spacing: [0.5, 0.5, 2.0], origin: [0.0; 3], axes };
        let lungs = Lungs::labelled(size, &labels.concat());
        measure_densities(&volume, &lungs, &DensitySettings::default())
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    /// Expected values by numpy 2: mean, std, median, percentile(15), (x < -950).mean().
    #[test]
    fn as_numpy_has_it() {
        let right = [-970, -951, -950, -949, -911, -910, -905, -860, -856, -855, -700, 20];
        let left = [-940, -930, -800, -800, -640];
        let densities = measured(&right, &left).unwrap();
        let [both, one, other] = &densities.regions[..] else { panic!("three regions") };
        assert_eq!(
            [both.lung, one.lung, other.lung],
            [LungRegion::Both, LungRegion::Right, LungRegion::Left]
        );
        assert_eq!([both.voxels, one.voxels, other.voxels], [17, 12, 5]);
        assert!(near(both.volume_ml, 17.0 * 0.0005));
        assert!(near(one.mean_hu, NUMPY_RIGHT[0]) && near(both.mean_hu, NUMPY_BOTH[0]));
        assert!(near(one.standard_deviation_hu, NUMPY_RIGHT[1]), "{}", one.standard_deviation_hu);
        assert!(near(one.median_hu, NUMPY_RIGHT[2]) && near(both.median_hu, NUMPY_BOTH[1]));
        assert!(near(one.percentile_15_hu, NUMPY_RIGHT[3]), "{}", one.percentile_15_hu);
        assert!(near(both.percentile_15_hu, NUMPY_BOTH[2]) && near(other.percentile_15_hu, -934.0));
        assert!(near(both.percentile_15_adjusted_g_l.unwrap(), 50.4 * 17.0 * 0.0005 / 6000.0));
        assert!(near(one.percentile_15_adjusted_g_l.unwrap(), 49.65 * 17.0 * 0.0005 / 6000.0));
        assert!(near(other.high_attenuation_percent, 0.0) && near(one.high_attenuation_percent, 0.0));
        assert_eq!(one.below.iter().map(|(hu, _)| *hu).collect::<Vec<_>>(), [-950.0, -910.0, -856.0]);
        assert!(near(one.below[0].1, 100.0 * 2.0 / 12.0), "−950 itself is not below −950");
        assert!(near(one.below[2].1, 100.0 * 8.0 / 12.0));
        assert_eq!(one.histogram.iter().sum::<u64>(), 12);
        assert_eq!(one.histogram[10], 2, "bin of −950 to −941");
    }

    /// Four slices of 8 × 8 voxels of 4 mm, going up: −900 HU, −600, −250 and −960 from the lowest on.
    #[test]
    fn parts_have_their_own_numbers() {
        let size = [8, 8, 4];
        let of_slice = [-900, -600, -250, -960];
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels = (0..256).map(|index| of_slice[index / 64]);
        let volume = Volume { voxels: voxels.collect(), size, spacing: [4.0; 3], origin: [0.0; 3], axes };
        let lung = VoxelSet::of(size, |index| index % 8 < 6);
        let lungs = Lungs::of(lung, VoxelSet::empty(size));
        let settings = DensitySettings { peel_mm: 8.0, ..DensitySettings::default() };
        let densities = measure_densities(&volume, &lungs, &settings).unwrap();
        let right = &densities.regions[1];
        let parts: Vec<_> = right
            .parts
            .iter()
            .map(|part| {
                (part.part, part.voxels, part.mean_hu, part.below[0].1, part.high_attenuation_percent)
            })
            .collect();
        // The middles of the slices lie at 1/8, 3/8, 5/8 and 7/8 of the volume. Only the columns 6 and 7 are no
        // lung: their neighbours at 4 and 8 mm are peel.
        assert_eq!(
            parts,
            [
                (LungPart::UpperThird, 48, -960.0, 100.0, 0.0),
                (LungPart::MiddleThird, 96, -425.0, 0.0, 50.0),
                (LungPart::LowerThird, 48, -900.0, 0.0, 0.0),
                (LungPart::Core, 128, -677.5, 25.0, 25.0),
                (LungPart::Peel, 64, -677.5, 25.0, 25.0),
            ]
        );
        assert_eq!((right.percentile_15_adjusted_g_l, right.high_attenuation_percent), (None, 25.0));
        assert_eq!((right.clusters.clusters, right.clusters.slope), (1, None));
    }

    #[test]
    fn low_voxels_are_those_of_the_lung() {
        let size = [150, 6, 3];
        let lung = VoxelSet::of(size, |index| (70..146).contains(&(index % 150)) && index / 150 % 6 > 0);
        let hu = |index: usize| [-951, -950, -1000, 40][index % 7 % 4];
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels = (0..size.iter().product()).map(hu).collect();
        let volume = Volume { voxels, size, spacing: [2.0; 3], origin: [0.0; 3], axes };
        let CountedLung { tables, low } = count(&volume, &lung, &LungDivision::of(&volume, &lung, 8.0));
        let is_low = |index: usize| {
            lung.contains([index % 150, index / 150 % 6, index / 900]) && hu(index) < CLUSTER_HU
        };
        let counted: u64 = tables.iter().flatten().map(|table| table.counts().total()).sum();
        assert_eq!((low.count(), counted), (VoxelSet::of(size, is_low).count(), lung.count()));
    }

    #[test]
    fn a_lung_that_is_not_there_is_left_out() {
        let densities = measured(&[-900, -800], &[]).unwrap();
        let lungs: Vec<LungRegion> = densities.regions.iter().map(|region| region.lung).collect();
        assert_eq!(lungs, [LungRegion::Both, LungRegion::Right]);
        assert!(measured(&[], &[]).unwrap_err().reason.contains("no voxel"));
    }

    const NUMPY_RIGHT: [f64; 4] = [-816.4166666666666, 261.5299403934896, -907.5, -950.35];
    const NUMPY_BOTH: [f64; 3] = [-818.0588235294117, -905.0, -949.6];
}
