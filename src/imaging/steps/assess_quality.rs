//! `assess-quality`: measures a scan where lung densities depend on it, and says what limits their meaning.

use crate::imaging::blood_pool::unnamed_contrast;
use crate::imaging::body_size::{BodyScale, impossible_size, small_for_body};
use crate::imaging::caveats::caveats;
use crate::imaging::ct_scale::CtScale;
use crate::imaging::dense_patches::dense_patches;
use crate::imaging::foreign_slices::foreign_slices;
use crate::imaging::kernels::is_sharp;
use crate::imaging::lung_base::broad_bases;
use crate::imaging::lung_doubt::perhaps_no_lung;
use crate::imaging::lung_shape::{enclosed_percent, trachea_solidity};
use crate::imaging::noise::{airway_air, tissue_noise_hu};
use crate::imaging::rib_gap::{other_gaps, rib_gap_percent};
use crate::imaging::wrapped_numbers::wrapped_numbers;
use crate::imaging::{
    InstanceHeader, LungDensities, LungRegion, Lungs, NoisePlace, RegionDensity, ScanQuality, SortedSeries,
    Volume,
};
use crate::step::{AttributeValues, BuiltIn, Request, Step, StepOutputs, StepReservation, StepReservations};

/// Measures the quality of a scan. `adult` has the voxels of the volume, with the lengths of an adult.
///
/// # Panics
/// If the series has no slices, or no region was measured.
fn measure_quality(
    series: &SortedSeries,
    [volume, adult]: [&Volume; 2],
    lungs: &Lungs,
    densities: &LungDensities,
) -> ScanQuality {
    let both = densities.regions.first().expect("both lungs are measured");
    debug_assert_eq!(both.lung, LungRegion::Both);
    let scale = CtScale::of(volume, lungs);
    // Ribs that the scale does not show are no limit of the chest.
    let rib_gap_percent = if scale.ceiling_hu.is_some() { [None; 2] } else { rib_gap_percent(adult, lungs) };
    let slice_thickness_mm = thickest_mm(series);
    let air = airway_air(volume, &lungs.airways, slice_thickness_mm.unwrap_or(series.slice_spacing));
    let in_air = air.as_ref().map(|air| (air.noise_hu, NoisePlace::Airways));
    let noise = in_air.or_else(|| Some((tissue_noise_hu(volume)?, NoisePlace::SoftTissue)));
    ScanQuality {
        slice_thickness_mm,
        slice_spacing_mm: series.slice_spacing,
        pixel_mm: volume.spacing[0].max(volume.spacing[1]),
        kernel: sharpest_kernel(series).to_owned(),
        contrast_agent: named_agent(series),
        tilt_degrees: tilt_degrees(series, volume),
        noise_hu: noise.map(|(hu, _)| hu),
        noise_place: noise.map(|(_, place)| place),
        airway_hu: air.map(|air| air.median_hu),
        outside_air_hu: scale.outside_air_hu,
        soft_tissue_hu: scale.soft_tissue_hu,
        scale_floor_hu: scale.floor_hu,
        scale_ceiling_hu: scale.ceiling_hu,
        scale_step_hu: scale.step_hu,
        trachea_solidity: trachea_solidity(adult, &lungs.airways),
        lung_ml: both.volume_ml,
        mean_hu: both.mean_hu,
        high_attenuation_percent: high_attenuation_percent(both),
        enclosed_percent: enclosed_percent(&adult.coarse(), lungs),
        rib_gap_percent,
    }
}

/// The largest Slice Thickness; `None` if none is written or all are 0.
fn thickest_mm(series: &SortedSeries) -> Option<f64> {
    let thickness = series.slices.iter().filter_map(|slice| slice.slice_thickness);
    thickness.filter(|mm| *mm > 0.0).reduce(f64::max)
}

/// The kernel of the first slice, or of the first one whose kernel sharpens.
fn sharpest_kernel(series: &SortedSeries) -> &str {
    let is_sharp = |slice: &&InstanceHeader| is_sharp(&slice.manufacturer, &slice.kernel);
    series.slices.iter().find(is_sharp).or(series.slices.first()).map_or("", |slice| &slice.kernel)
}

fn tilt_degrees(series: &SortedSeries, volume: &Volume) -> f64 {
    let aside = series.shifts.iter().map(|[across, down]| {
        (f64::from(*across) * volume.spacing[0]).hypot(f64::from(*down) * volume.spacing[1])
    });
    let Some(aside) = aside.reduce(f64::max) else { return 0.0 };
    let along = series.slice_spacing * (series.slices.len() - 1) as f64;
    aside.atan2(along).to_degrees()
}

fn manufacturer(series: &SortedSeries) -> &str {
    series.slices.first().map_or("", |slice| &slice.manufacturer)
}

/// The contrast agent that a slice names; empty if none does.
fn named_agent(series: &SortedSeries) -> String {
    let mut agents = series.slices.iter().map(|slice| slice.contrast_agent.as_str());
    agents.find(|agent| !agent.is_empty()).unwrap_or_default().to_owned()
}

/// The percentage of lung from −600 to −250 HU, if the histogram's bins begin and end there.
fn high_attenuation_percent(density: &RegionDensity) -> Option<f64> {
    let bin = |hu: i32| {
        let above = hu - density.histogram_start_hu;
        let width = density.histogram_width_hu as i32;
        (above >= 0 && above % width == 0).then_some((above / width) as usize)
    };
    let voxels: u64 = density.histogram.get(bin(-600)?..bin(-250)?)?.iter().sum();
    Some(100.0 * voxels as f64 / density.voxels as f64)
}

/// A reservation if the study's source says that a part of the series was received again, and the rest perhaps
/// not.
fn mixed_versions(request: &Request, series: &SortedSeries) -> Option<StepReservation> {
    let mut mixed = request.attributes.get("mixed_series").into_iter().flat_map(AttributeValues::iter);
    let text = "a part of the series was received again with other contents, and it is not known that the rest \
                was, too: if two reconstructions are mixed, volumes and densities are wrong; send the whole series \
                again";
    mixed
        .any(|mixed| series.slices.iter().any(|slice| slice.series_instance_uid == *mixed))
        .then(|| StepReservation { code: "mixed_versions".to_owned(), text: text.to_owned() })
}

fn step() -> Step {
    Step::new(
        "assess-quality",
        13,
        "Measures noise, resolution and lung shape, and says what limits the results.",
    )
    .takes::<Request>("request")
    .takes::<SortedSeries>("series")
    .takes::<Volume>("volume")
    .takes::<Lungs>("lungs")
    .takes::<LungDensities>("densities")
    .gives::<ScanQuality>("quality")
    .gives::<StepReservations>("reservations")
    .runs(|call| {
        let (series, lungs) = (call.input::<SortedSeries>("series"), call.input::<Lungs>("lungs"));
        let volume = call.input::<Volume>("volume");
        let body = BodyScale::of(volume);
        let adult = &body.adult(volume);
        let quality = measure_quality(series, [volume, adult], lungs, call.input("densities"));
        let mut reservations = lungs.reservations.clone();
        reservations.0.extend(caveats(&quality, manufacturer(series)).0);
        if quality.scale_ceiling_hu.is_none() {
            let gaps = other_gaps(adult, lungs, &reservations);
            reservations.0.extend(gaps);
        }
        // Where the images are perhaps turned, a base can be an apex.
        if lungs.reservations.0.iter().all(|one| one.code != "orientation") {
            reservations.0.extend(broad_bases(volume, lungs));
        }
        reservations.0.extend(dense_patches(adult, lungs));
        reservations.0.extend(unnamed_contrast(adult, body, lungs, &quality));
        reservations.0.extend(wrapped_numbers(volume, lungs));
        reservations.0.extend(perhaps_no_lung(adult, lungs, &quality));
        reservations.0.extend(impossible_size(volume, quality.lung_ml));
        reservations.0.extend(body.reservation());
        reservations.0.extend(small_for_body(volume, lungs, quality.lung_ml));
        reservations.0.extend(foreign_slices(series, volume));
        reservations.0.extend(series.reservations.iter().cloned());
        reservations.0.extend(mixed_versions(call.input("request"), series));
        Ok(StepOutputs::default().with("quality", quality).with("reservations", reservations))
    })
}

inventory::submit! { BuiltIn(step) }
