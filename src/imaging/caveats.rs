//! Caveats: what limits the meaning of lung densities in a scan, from measures of the scan.
//!
//! Each limit is a constant with its source. Nothing is said of what was not measured.

use super::kernels::is_sharp;
use super::{NoisePlace, ScanQuality};
use crate::printable::beyond;
use crate::step::StepReservations;

/// Thicker slices are not thin-section CT (MacMahon et al. 2017, Radiology 284:228). Low attenuation areas are
/// averaged with their surroundings (Gierada et al. 2010, Acad Radiol 17:146): on a chest of 1 mm slices with
/// LAA-950 3.2 %, 3 mm leave 1.9 % and 5 mm leave 1.3 %.
const SLICE_MM_MOST: f64 = 1.5;
/// Slices further apart than this share of their thickness leave lung between them out.
const GAP_SHARE: f64 = 1.1;
/// A chest in 512 columns has pixels of 0.6 to 0.9 mm. With wider ones, vessels and walls are averaged into lung.
const PIXEL_MM_MOST: f64 = 1.0;
/// Noise adds voxels below every threshold. Gaussian noise of 20, 30, 40 and 50 HU on a smoothed chest (1 mm
/// slices, LAA-950 0.8 %) makes it 1.0, 1.5, 2.5 and 4.1 %; 20 HU are usual.
const NOISE_HU_MOST: f64 = 30.0;
/// Air has −1000 HU by definition, and phantoms are accepted with −1005 to −970 HU of air and −7 to 7 HU of water
/// (American College of Radiology, CT Accreditation). In patients, the CT number of air changes with the scanner and with
/// it all densities (Stoel et al. 1999, Invest Radiol 34:303; Parr et al. 2004, AJRCCM 170:883). Two real chests and a
/// phantom have −1000 to −995 HU outside. The lower end leaves room for scanners whose numbers end at −1024 HU.
const OUTSIDE_AIR_HU: std::ops::RangeInclusive<f64> = -1020.0..=-970.0;
/// Scatter and the walls' blur make the air of the trachea denser (Judy et al. 2012, AJRCCM 185:A2037).
const AIRWAY_HU: std::ops::RangeInclusive<f64> = -1020.0..=-950.0;
/// Muscle has 40 to 60 HU, blood 30 to 50 HU; the peak of all soft tissue of two real chests and a phantom is at 49 to
/// 54 HU.
const SOFT_TISSUE_HU: std::ops::RangeInclusive<f64> = 0.0..=80.0;
/// A contrast agent makes muscle and liver denser, the liver by 50 HU and more.
const ENHANCED_HU_MOST: f64 = 130.0;
/// A larger tilt moves slices by pixels.
const TILT_DEGREES_MOST: f64 = 0.5;
/// Healthy lungs have about −840 HU in full inspiration and −700 HU after expiration (Zach et al. 2012, Invest
/// Radiol 47:596).
const INSPIRED_HU_MOST: f64 = -750.0;
/// The trachea is round or a horseshoe in inspiration; in expiration its back wall bends inwards (Stern et al.
/// 1993, Radiology 187:27).
const SOLIDITY_LEAST: f64 = 0.85;
/// The share of lung from −600 to −250 HU (high attenuation areas: Lederer et al. 2009, AJRCCM 180:407). Two real
/// chests without fibrosis have 5.9 and 6.5 %, one made fibrous at its bases has 22 %.
const HIGH_ATTENUATION_PERCENT_MOST: f64 = 10.0;
/// Pixels for which the borders of vessels do not yet count as high attenuation.
const ATTENUATION_PIXEL_MM_MOST: f64 = 1.5;
/// Dense tissue that a lung surrounds. Healthy lungs of three chests have 1 to 6 % (hilum, vessels), one with bands
/// of fluid has 22 %.
const ENCLOSED_PERCENT_MOST: f64 = 12.0;
/// Directions to the side and to the back in which dense tissue lies between lung and ribs. Five healthy lungs of three
/// chests have 0.0 to 1.5 %, looked at in six sizes, one with a collapsed upper lobe 12 %, with an effusion 9 %, with a consolidated
/// base 5 %.
const RIB_GAP_PERCENT_MOST: f64 = 3.0;

/// The caveats of a scan.
pub fn caveats(quality: &ScanQuality, manufacturer: &str) -> StepReservations {
    let mut caveats = StepReservations::default();
    slices(quality, &mut caveats);
    sharpness(quality, manufacturer, &mut caveats);
    noise(quality, &mut caveats);
    calibration(quality, &mut caveats);
    scale_ends(quality, &mut caveats);
    scale_steps(quality, &mut caveats);
    if !quality.contrast_agent.is_empty() {
        let text = format!(
            "a contrast agent was given ({}): blood in the lungs is denser, so mean and percentiles are higher and low attenuation areas smaller than without",
            quality.contrast_agent
        );
        caveats.say("contrast_agent", text);
    }
    inspiration(quality, &mut caveats);
    density(quality, &mut caveats);
    caveats
}

/// CT numbers of materials that are known.
fn calibration(quality: &ScanQuality, caveats: &mut StepReservations) {
    let enhanced = *SOFT_TISSUE_HU.start()..=ENHANCED_HU_MOST;
    let tissue = if quality.contrast_agent.is_empty() { SOFT_TISSUE_HU } else { enhanced };
    // Where the scale ends above air, that end is what air measures.
    let air = |hu: Option<f64>| hu.filter(|_| quality.scale_floor_hu.is_none());
    // Around a patient there can be foam, which is denser than air; in the trachea there cannot.
    let is_trachea_right = quality.airway_hu.is_some_and(|hu| AIRWAY_HU.contains(&hu));
    let outside_air_hu = quality.outside_air_hu.filter(|_| !is_trachea_right);
    let known = [
        ("air in the trachea", air(quality.airway_hu), AIRWAY_HU),
        ("air outside the patient", air(outside_air_hu), OUTSIDE_AIR_HU),
        ("soft tissue", quality.soft_tissue_hu, tissue),
    ];
    let off = known.into_iter().filter_map(|(what, hu, usual)| {
        let hu = hu.filter(|hu| !usual.contains(hu))?;
        Some(format!("{what} measures {hu:.0} HU, outside {:.0} to {:.0} HU", usual.start(), usual.end()))
    });
    let off: Vec<String> = off.collect();
    if !off.is_empty() {
        let text = format!(
            "{}: the scanner's CT numbers are off, and with them all densities; compare only scans of which these are the same",
            off.join(", ")
        );
        caveats.say("calibration", text);
    }
}

/// CT numbers that the images do not have, because their scale ends before.
fn scale_ends(quality: &ScanQuality, caveats: &mut StepReservations) {
    if let Some(floor) = quality.scale_floor_hu {
        let text = format!(
            "CT numbers end at {floor:.0} HU, above those of air: low attenuation areas and percentiles below are cut off, so send the series with the scanner's whole scale"
        );
        caveats.say("clipped_scale", text);
    }
    if let Some(ceiling) = quality.scale_ceiling_hu {
        let text = format!(
            "CT numbers end at {ceiling:.0} HU, below those of bone: dense tissue between lung and ribs is not looked for, so send the series with the scanner's whole scale"
        );
        caveats.say("clipped_scale", text);
    }
}

/// Steps between CT numbers, whether by the slope or in values that were converted back to a slope of 1.
fn scale_steps(quality: &ScanQuality, caveats: &mut StepReservations) {
    if let Some(step) = quality.scale_step_hu {
        let text = format!(
            "CT numbers come in steps of {step:.1} HU, as in images converted to 256 greys: low attenuation areas and percentiles are off by up to a step, so send the series as the scanner made it"
        );
        caveats.say("coarse_scale", text);
    }
}

fn slices(quality: &ScanQuality, caveats: &mut StepReservations) {
    let spacing = quality.slice_spacing_mm;
    let thickness = quality.slice_thickness_mm.filter(|mm| *mm > 0.0).unwrap_or(spacing);
    if thickness > SLICE_MM_MOST {
        let text = format!(
            "slices are {} mm thick, more than {SLICE_MM_MOST} mm: low attenuation areas are averaged away (one chest has 3.2 % at 1 mm and 1.3 % at 5 mm), so compare them only with scans of this thickness",
            beyond(thickness, SLICE_MM_MOST, 1)
        );
        caveats.say("thick_slices", text);
    }
    if spacing > GAP_SHARE * thickness {
        let percent = 100.0 * (1.0 - thickness / spacing);
        let text = format!(
            "slices of {thickness:.1} mm are {spacing:.1} mm apart: {percent:.0} % of the lungs were not imaged, and volumes assume that they are alike"
        );
        caveats.say("slice_gaps", text);
    }
    let tilt = quality.tilt_degrees;
    if tilt > TILT_DEGREES_MOST {
        let half = quality.pixel_mm / 2.0;
        let text = format!(
            "the gantry was tilted by {tilt:.0}°: slices were moved upright by whole pixels, so borders are off by up to {half:.1} mm; densities are as measured"
        );
        caveats.say("gantry_tilt", text);
    }
}

fn sharpness(quality: &ScanQuality, manufacturer: &str, caveats: &mut StepReservations) {
    let pixel = quality.pixel_mm;
    if pixel > PIXEL_MM_MOST {
        let text = format!(
            "pixels are {} mm wide, more than {PIXEL_MM_MOST:.0} mm: vessels, walls and borders are averaged into the lung, volumes and densities are uncertain",
            beyond(pixel, PIXEL_MM_MOST, 1)
        );
        caveats.say("low_resolution", text);
    }
    if is_sharp(manufacturer, &quality.kernel) {
        // Boedeker et al. 2004, Radiology 232:295.
        let text = format!(
            "the kernel {} sharpens edges and noise: low attenuation areas and percentiles are not comparable with those of a soft-tissue kernel",
            quality.kernel
        );
        caveats.say("sharp_kernel", text);
    }
}

fn noise(quality: &ScanQuality, caveats: &mut StepReservations) {
    let Some(noise) = quality.noise_hu.filter(|noise| *noise > NOISE_HU_MOST) else { return };
    let place = match quality.noise_place {
        Some(NoisePlace::Airways) => "the air of the trachea",
        Some(NoisePlace::SoftTissue) | None => "soft tissue",
    };
    let text = format!(
        "the noise is {} HU in {place}, more than {NOISE_HU_MOST:.0} HU: it adds voxels below every threshold (30 HU double the low attenuation areas of a healthy lung)",
        beyond(noise, NOISE_HU_MOST, 0)
    );
    caveats.say("noise", text);
}

fn inspiration(quality: &ScanQuality, caveats: &mut StepReservations) {
    let ScanQuality { mean_hu, lung_ml, .. } = quality;
    if let Some(solidity) = quality.trachea_solidity.filter(|solidity| *solidity < SOLIDITY_LEAST) {
        let (percent, least) = (100.0 * solidity, 100.0 * SOLIDITY_LEAST);
        let text = format!(
            "the trachea fills {} % of its convex hull, less than {least:.0} %, as when its back wall bends inwards in expiration: volumes and densities may not be those of full inspiration",
            beyond(percent, least, 0)
        );
        caveats.say("expiration", text);
    } else if *mean_hu > INSPIRED_HU_MOST {
        let text = format!(
            "the lungs have {} HU on average, more than {INSPIRED_HU_MOST:.0} HU, at {lung_ml:.0} mL: as in expiration or with diffuse disease, so low attenuation areas may be hidden",
            beyond(*mean_hu, INSPIRED_HU_MOST, 0)
        );
        caveats.say("expiration", text);
    }
}

fn density(quality: &ScanQuality, caveats: &mut StepReservations) {
    let is_fine = quality.pixel_mm <= ATTENUATION_PIXEL_MM_MOST;
    let share =
        quality.high_attenuation_percent.filter(|share| is_fine && *share > HIGH_ATTENUATION_PERCENT_MOST);
    if let Some(share) = share {
        let text = format!(
            "{} % of the lungs have -600 to -250 HU, more than {HIGH_ATTENUATION_PERCENT_MOST:.0} %: as in fibrosis, oedema or expiration, so densities do not show emphysema alone",
            beyond(share, HIGH_ATTENUATION_PERCENT_MOST, 0)
        );
        caveats.say("high_attenuation", text);
    }
    for (side, share) in ["right", "left"].into_iter().zip(quality.enclosed_percent) {
        let Some(share) = share.filter(|share| *share > ENCLOSED_PERCENT_MOST) else { continue };
        let text = format!(
            "dense tissue takes {} % of the place that the {side} lung surrounds, more than {ENCLOSED_PERCENT_MOST:.0} %: consolidation, fluid or a mass may be left out of the lung",
            beyond(share, ENCLOSED_PERCENT_MOST, 0)
        );
        caveats.say("dense_tissue", text);
    }
    for (side, share) in ["right", "left"].into_iter().zip(quality.rib_gap_percent) {
        let Some(share) = share.filter(|share| *share > RIB_GAP_PERCENT_MOST) else { continue };
        let text = format!(
            "dense tissue thicker than a chest wall lies between the {side} lung and the ribs in {} % of directions, more than {RIB_GAP_PERCENT_MOST:.0} %: fluid, consolidation or a mass may be left out of the lung",
            beyond(share, RIB_GAP_PERCENT_MOST, 0)
        );
        caveats.say("dense_tissue", text);
    }
}

/// A scan without caveats, for tests.
#[cfg(test)]
pub fn sample() -> ScanQuality {
    ScanQuality {
        slice_thickness_mm: Some(1.0),
        slice_spacing_mm: 0.7,
        pixel_mm: 0.75,
        kernel: "B31f".to_owned(),
        contrast_agent: String::new(),
        tilt_degrees: 0.0,
        noise_hu: Some(20.0),
        noise_place: Some(NoisePlace::Airways),
        airway_hu: Some(-990.0),
        outside_air_hu: Some(-998.0),
        soft_tissue_hu: Some(50.0),
        scale_floor_hu: None,
        scale_ceiling_hu: None,
        scale_step_hu: None,
        trachea_solidity: Some(0.94),
        lung_ml: 5200.0,
        mean_hu: -840.0,
        high_attenuation_percent: Some(5.0),
        enclosed_percent: [Some(4.0), Some(6.0)],
        rib_gap_percent: [Some(0.0), Some(0.2)],
    }
}

#[cfg(test)]
mod tests {
    use super::sample as good;
    use super::*;

    fn check(quality: &ScanQuality, code: &str, words: &str) {
        let said = caveats(quality, "SIEMENS").0;
        let [only] = &said[..] else { panic!("one caveat, {code}: {said:?}") };
        assert_eq!(only.code, code);
        assert!(only.text.contains(words), "{}", only.text);
        assert!(only.code.len() <= 16, "the code fits a coded concept");
    }

    #[test]
    fn a_good_scan_has_no_caveat_nor_has_one_of_which_nothing_is_known() {
        assert_eq!(caveats(&good(), "SIEMENS").0, []);
        let unknown = ScanQuality {
            slice_thickness_mm: None,
            noise_hu: None,
            noise_place: None,
            airway_hu: None,
            outside_air_hu: None,
            soft_tissue_hu: None,
            trachea_solidity: None,
            high_attenuation_percent: None,
            enclosed_percent: [None; 2],
            rib_gap_percent: [None; 2],
            kernel: String::new(),
            ..good()
        };
        assert_eq!(caveats(&unknown, "").0, []);
    }

    #[test]
    fn each_caveat_has_its_number_and_its_limit() {
        check(
            &ScanQuality { slice_thickness_mm: Some(5.0), ..good() },
            "thick_slices",
            "5.0 mm thick, more than 1.5",
        );
        check(
            &ScanQuality { slice_spacing_mm: 10.0, ..good() },
            "slice_gaps",
            "90 % of the lungs were not imaged",
        );
        check(&ScanQuality { tilt_degrees: 12.0, ..good() }, "gantry_tilt", "tilted by 12°");
        check(&ScanQuality { pixel_mm: 1.5, ..good() }, "low_resolution", "1.5 mm wide, more than 1 mm");
        check(&ScanQuality { kernel: "B70f".to_owned(), ..good() }, "sharp_kernel", "B70f");
        check(
            &ScanQuality { noise_hu: Some(50.0), ..good() },
            "noise",
            "50 HU in the air of the trachea, more than 30",
        );
        check(
            &ScanQuality { airway_hu: Some(-900.0), ..good() },
            "calibration",
            "-900 HU, outside -1020 to -950",
        );
        check(&ScanQuality { contrast_agent: "Iohexol".to_owned(), ..good() }, "contrast_agent", "(Iohexol)");
        check(
            &ScanQuality { trachea_solidity: Some(0.7), ..good() },
            "expiration",
            "70 % of its convex hull",
        );
        check(&ScanQuality { mean_hu: -700.0, ..good() }, "expiration", "-700 HU on average, more than -750");
        check(&ScanQuality { high_attenuation_percent: Some(22.0), ..good() }, "high_attenuation", "22 %");
        check(
            &ScanQuality { enclosed_percent: [Some(4.0), Some(21.5)], ..good() },
            "dense_tissue",
            "the left lung",
        );
        check(
            &ScanQuality { rib_gap_percent: [Some(12.2), Some(0.2)], ..good() },
            "dense_tissue",
            "the right lung",
        );
        check(
            &ScanQuality { rib_gap_percent: [Some(3.2), Some(0.2)], ..good() },
            "dense_tissue",
            "3.2 % of directions, more than 3 %",
        );
    }

    #[test]
    fn thin_slices_leave_gaps_as_thick_ones_do() {
        let thin =
            |thickness| ScanQuality { slice_thickness_mm: Some(thickness), slice_spacing_mm: 1.0, ..good() };
        check(&thin(0.7), "slice_gaps", "30 % of the lungs were not imaged");
        assert_eq!(caveats(&thin(0.95), "SIEMENS").0, [], "headers are rounded");
        assert_eq!(caveats(&thin(0.0), "SIEMENS").0, [], "a thickness of 0 says nothing");
    }

    #[test]
    fn numbers_that_are_off_are_named_together() {
        let off = ScanQuality {
            airway_hu: None,
            outside_air_hu: Some(-940.0),
            soft_tissue_hu: Some(110.0),
            ..good()
        };
        check(
            &off,
            "calibration",
            "air outside the patient measures -940 HU, outside -1020 to -970 HU, soft tissue measures 110 HU, outside 0 to 80 HU",
        );
        check(&ScanQuality { airway_hu: Some(-1024.0), ..good() }, "calibration", "-1024 HU");
        let foam = ScanQuality { outside_air_hu: Some(-913.0), ..good() };
        assert_eq!(caveats(&foam, "SIEMENS").0, [], "foam around the patient is denser than air");
        check(
            &ScanQuality { soft_tissue_hu: Some(-10.0), ..good() },
            "calibration",
            "soft tissue measures -10",
        );
        let enhanced =
            ScanQuality { contrast_agent: "Iohexol".to_owned(), soft_tissue_hu: Some(110.0), ..good() };
        check(&enhanced, "contrast_agent", "(Iohexol)");
    }

    #[test]
    fn a_scale_that_ends_early_is_named() {
        let floor = ScanQuality {
            scale_floor_hu: Some(-940.0),
            airway_hu: Some(-940.0),
            outside_air_hu: Some(-940.0),
            ..good()
        };
        check(&floor, "clipped_scale", "end at -940 HU, above");
        check(
            &ScanQuality { scale_ceiling_hu: Some(150.0), ..good() },
            "clipped_scale",
            "end at 150 HU, below",
        );
        check(&ScanQuality { scale_step_hu: Some(16.1), ..good() }, "coarse_scale", "in steps of 16.1 HU");
    }

    #[test]
    fn coarse_pixels_make_no_high_attenuation() {
        let quality = ScanQuality { pixel_mm: 4.0, high_attenuation_percent: Some(30.0), ..good() };
        check(&quality, "low_resolution", "4.0 mm wide");
    }
}
