//! `write-results`: writes all measurements for other programs, as `results.json`.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::imaging::clusters::{CLUSTER_HU, CLUSTER_LEAST_MM3};
use crate::imaging::json::to_json;
use crate::imaging::study::request_remarks;
use crate::imaging::{
    InstanceHeader, LungDensities, LungFeatures, LungPart, LungRegion, Lungs, PartDensity, RegionDensity,
    ScanQuality, SortedSeries, density_g_l,
};
use crate::step::{
    BuiltIn, Call, Digest, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepReservation,
    StepReservations,
};

/// All measurements of a chest CT.
#[derive(Serialize, JsonSchema)]
struct ResultsFile<'a> {
    request: Digest,
    study: StudyIdentity<'a>,
    series: SeriesIdentity<'a>,
    regions: Vec<RegionResults<'a>>,
    remarks: Vec<&'a str>,
    reservations: &'a [StepReservation],
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'a ScanQuality>,
    /// Features of each lung by the definitions of IBSI.
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<&'a LungFeatures>,
    definitions: ResultDefinitions,
}

/// The request's study by its identifiers, without the patient's name.
#[derive(Serialize, JsonSchema)]
struct StudyIdentity<'a> {
    study_instance_uid: &'a str,
    study_date: &'a str,
    accession_number: &'a str,
    patient_id: &'a str,
}

/// The series that was measured.
#[derive(Serialize, JsonSchema)]
struct SeriesIdentity<'a> {
    series_instance_uid: &'a str,
    series_number: Option<i32>,
    series_description: &'a str,
    kernel: &'a str,
    peak_kilovoltage: Option<f64>,
    slices: usize,
    rows: u16,
    columns: u16,
    /// Distance between rows, then between columns.
    pixel_spacing_mm: Option<[f64; 2]>,
    slice_spacing_mm: f64,
    slice_thickness_mm: Option<f64>,
    /// Other series that slices name, in the order of the slices. Left out if all are of one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_series: Vec<OtherSeries<'a>>,
}

/// A series of the same acquisition, whose slices were measured together with those of the first one.
#[derive(Serialize, JsonSchema)]
struct OtherSeries<'a> {
    series_instance_uid: &'a str,
    series_number: Option<i32>,
}

impl OtherSeries<'_> {
    fn of(slice: &InstanceHeader) -> OtherSeries<'_> {
        OtherSeries { series_instance_uid: &slice.series_instance_uid, series_number: slice.series_number }
    }
}

/// Measurements of both lungs or of one.
#[derive(Serialize, JsonSchema)]
struct RegionResults<'a> {
    lung: LungRegion,
    voxels: u64,
    volume_ml: f64,
    mean_hu: f64,
    standard_deviation_hu: f64,
    median_hu: f64,
    percentile_15_hu: f64,
    percentile_15_g_l: f64,
    /// At the reference volume; null where one lung was found.
    percentile_15_adjusted_g_l: Option<f64>,
    below: Vec<ThresholdShare>,
    high_attenuation_percent: f64,
    low_attenuation_clusters: ClusterResults<'a>,
    parts: Vec<PartResults>,
    histogram: DensityHistogram<'a>,
}

/// Measurements of a part of a region.
#[derive(Serialize, JsonSchema)]
struct PartResults {
    part: LungPart,
    voxels: u64,
    volume_ml: f64,
    mean_hu: f64,
    percentile_15_hu: f64,
    percentile_15_g_l: f64,
    below: Vec<ThresholdShare>,
    high_attenuation_percent: f64,
}

/// Clusters of voxels below a threshold.
#[derive(Serialize, JsonSchema)]
struct ClusterResults<'a> {
    threshold_hu: f64,
    /// Smaller clusters are left out.
    least_mm3: f64,
    clusters: u64,
    /// Mishima's D.
    slope: Option<f64>,
    /// The reason why there is no slope.
    reason: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
struct ThresholdShare {
    threshold_hu: f64,
    percent: f64,
}

#[derive(Serialize, JsonSchema)]
struct DensityHistogram<'a> {
    start_hu: i32,
    width_hu: u32,
    voxels: &'a [u64],
}

/// Definitions of the measurements, for a person.
#[derive(Serialize, JsonSchema)]
struct ResultDefinitions {
    below: &'static str,
    percentiles: &'static str,
    standard_deviation: &'static str,
    volume: &'static str,
    percentile_15_g_l: &'static str,
    percentile_15_adjusted_g_l: String,
    high_attenuation: &'static str,
    low_attenuation_clusters: &'static str,
    thirds: &'static str,
    core_and_peel: String,
    histogram: &'static str,
    features: &'static str,
    sides: &'static str,
}

impl ResultDefinitions {
    fn of(densities: &LungDensities) -> ResultDefinitions {
        let LungDensities { reference_ml, peel_mm, .. } = densities;
        ResultDefinitions {
            below: "percent of the region's voxels strictly below the threshold",
            percentiles: "linear interpolation between ranks: the p-th percentile of n sorted values is at rank (n - 1) p / 100",
            standard_deviation: "of the population: the sum of squares divided by n",
            volume: "voxels times the volume of a voxel",
            percentile_15_g_l: "percentile_15_hu + 1000, at least 0: air has -1000 HU and 0 g/L, water 0 HU and 1000 g/L",
            percentile_15_adjusted_g_l: format!(
                "percentile_15_g_l times the volume of both lungs, divided by {reference_ml} mL; null where one lung was found"
            ),
            high_attenuation: "percent of the region's voxels from -600 to below -250 HU",
            low_attenuation_clusters: "voxels strictly below threshold_hu that share faces, from least_mm3 on; slope is D of Mishima: minus the slope of log10(clusters of at least a size) over log10(size), by least squares over the sizes that occur",
            thirds: "of each lung's volume, by slices from the top; those of both lungs are the thirds of each together",
            core_and_peel: format!(
                "on cells of about 4 mm: the peel is up to {peel_mm} mm from a cell of which less than half is the lung"
            ),
            histogram: "bin i holds the voxels from start_hu + i * width_hu on, below the start of the next",
            features: "by the reference manual of the Image Biomarker Standardisation Initiative, arXiv 1612.07003; intensities in HU, those of the histogram in bins of bin_hu from from_hu on, numbered from 1",
            sides: "right and left are the patient's",
        }
    }
}

/// The JSON Schema of `results.json`.
pub fn schema(generator: SchemaGenerator) -> Schema {
    generator.into_root_schema_for::<ResultsFile>()
}

fn write_results(call: &Call) -> ResponseFile {
    let (request, series) = (call.input::<Request>("request"), call.input::<SortedSeries>("series"));
    let (lungs, densities) = (call.input::<Lungs>("lungs"), call.input::<LungDensities>("densities"));
    let reservations = call.optional("reservations").unwrap_or(&lungs.reservations);
    let study = series.study(request);
    let results = ResultsFile {
        request: request.id,
        study: StudyIdentity {
            study_instance_uid: &study.study_instance_uid,
            study_date: &study.study_date,
            accession_number: &study.accession_number,
            patient_id: &study.patient_id,
        },
        series: identity(series),
        regions: densities.regions.iter().map(region).collect(),
        remarks: request_remarks(request)
            .chain(series.remarks.iter().map(String::as_str))
            .chain(lungs.remarks.iter().map(String::as_str))
            .collect(),
        reservations: &reservations.0,
        quality: call.optional("quality"),
        features: call.optional("features"),
        definitions: ResultDefinitions::of(densities),
    };
    ResponseFile::new("results.json", "application/json", to_json(&results))
}

fn identity(series: &SortedSeries) -> SeriesIdentity<'_> {
    let first = series.slices.first().expect("a series has slices");
    SeriesIdentity {
        series_instance_uid: &first.series_instance_uid,
        series_number: first.series_number,
        series_description: &first.series_description,
        kernel: &first.kernel,
        peak_kilovoltage: first.peak_kilovoltage,
        slices: series.slices.len(),
        rows: first.rows,
        columns: first.columns,
        pixel_spacing_mm: first.spacing,
        slice_spacing_mm: series.slice_spacing,
        slice_thickness_mm: first.slice_thickness,
        other_series: series.series().skip(1).map(OtherSeries::of).collect(),
    }
}

fn region(density: &RegionDensity) -> RegionResults<'_> {
    let clusters = &density.clusters;
    RegionResults {
        lung: density.lung,
        voxels: density.voxels,
        volume_ml: density.volume_ml,
        mean_hu: density.mean_hu,
        standard_deviation_hu: density.standard_deviation_hu,
        median_hu: density.median_hu,
        percentile_15_hu: density.percentile_15_hu,
        percentile_15_g_l: density_g_l(density.percentile_15_hu),
        percentile_15_adjusted_g_l: density.percentile_15_adjusted_g_l,
        below: shares(&density.below),
        high_attenuation_percent: density.high_attenuation_percent,
        low_attenuation_clusters: ClusterResults {
            threshold_hu: CLUSTER_HU.into(),
            least_mm3: CLUSTER_LEAST_MM3,
            clusters: clusters.clusters,
            slope: clusters.slope,
            reason: clusters.reason.as_deref(),
        },
        parts: density.parts.iter().map(part).collect(),
        histogram: DensityHistogram {
            start_hu: density.histogram_start_hu,
            width_hu: density.histogram_width_hu,
            voxels: &density.histogram,
        },
    }
}

fn part(density: &PartDensity) -> PartResults {
    PartResults {
        part: density.part,
        voxels: density.voxels,
        volume_ml: density.volume_ml,
        mean_hu: density.mean_hu,
        percentile_15_hu: density.percentile_15_hu,
        percentile_15_g_l: density_g_l(density.percentile_15_hu),
        below: shares(&density.below),
        high_attenuation_percent: density.high_attenuation_percent,
    }
}

fn shares(below: &[(f64, f64)]) -> Vec<ThresholdShare> {
    below.iter().map(|&(threshold_hu, percent)| ThresholdShare { threshold_hu, percent }).collect()
}

fn step() -> Step {
    Step::new("write-results", 6, "Writes everything measured as JSON.")
        .takes::<Request>("request")
        .takes::<SortedSeries>("series")
        .takes::<Lungs>("lungs")
        .takes::<LungDensities>("densities")
        .takes_optional::<StepReservations>("reservations")
        .takes_optional::<ScanQuality>("quality")
        .takes_optional::<LungFeatures>("features")
        .gives::<ResponseFiles>("files")
        .runs(|call| Ok(StepOutputs::one("files", ResponseFiles(vec![write_results(call)]))))
}

inventory::submit! { BuiltIn(step) }
