//! `sort-series`: one series of axial CT slices, chosen by rule, complete and in order.
//!
//! Candidates are series of CT Image Storage instances with one frame and one sample per pixel that are not
//! localizers. A rule keeps, one after another,
//!
//! 1. those whose slices all have position, orientation (axial, within 25°) and pixel spacing,
//! 2. original primary images before derived ones,
//! 3. those that cover at least 90 % of the widest range along the patient,
//! 4. the thinnest spacing (within 10 %), because thick slices blur low densities,
//! 5. the softest kernel, because sharp ones spread the densities that are counted,
//! 6. the most slices; then the lowest series number and UID.
//!
//! The remarks name the series left out. The chosen series must be complete: no other one takes its place if
//! a slice is missing. Feet-first and prone studies need no special handling, as positions are in patient
//! coordinates; sagittal and coronal reformats and tilted gantries are rejected.

use std::collections::BTreeMap;

use crate::imaging::slices::{Slice, check_alike, check_spacing};
use crate::imaging::{Header, Series};
use crate::step::{BuiltIn, Fault, Outputs, Parameter, Step};

const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const ENHANCED_CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2.1";

/// Largest fine spacing; a coarser volume gets a remark.
const SPACING_MM_FINE: f64 = 5.0;

fn step() -> Step {
    Step::new("sort-series", 1, "Chooses one series of axial CT slices, checks it and puts it in order.")
        .takes_each::<Header>("headers")
        .gives::<Series>("series")
        .parameter(
            Parameter::number("slices_least", 10.0, 2.0, 10_000.0, "")
                .about("A series of fewer slices is refused."),
        )
        .runs(|call| {
            let series = sort_series(&call.each("headers"), call.number("slices_least") as usize)?;
            Ok(Outputs::one("series", series))
        })
}

inventory::submit! { BuiltIn(step) }

/// Chooses, checks and sorts a series.
///
/// # Errors
/// If there is no axial CT series, or if the chosen one is incomplete or not a regular grid.
pub fn sort_series(headers: &[&Header], slices_least: usize) -> Result<Series, Fault> {
    let mut remarks = Vec::new();
    let candidates = candidates(headers, &mut remarks);
    if candidates.is_empty() {
        return Err(no_ct(headers));
    }
    let chosen = choose(candidates, &mut remarks);
    let slices = distinct(&chosen, &mut remarks)?;
    if slices.len() < slices_least {
        return Err(Fault::new(
            format!("{} has {} slices, at least {slices_least} are needed", chosen.label(), slices.len()),
            "Send the whole series of thin slices.",
        ));
    }
    check_alike(&slices)?;
    let slice_spacing = check_spacing(&slices)?;
    if slice_spacing > SPACING_MM_FINE {
        remarks.push(format!("the slices are {slice_spacing:.1} mm apart: volumes and densities are coarse"));
    }
    let thin = slices[0].header.slice_thickness.filter(|thickness| *thickness > 0.0);
    if let Some(thickness) = thin.filter(|thickness| slice_spacing > SPACING_TO_THICKNESS_MOST * thickness) {
        remarks.push(format!(
            "slices {thickness:.1} mm thick lie {slice_spacing:.1} mm apart: part of the series may be missing"
        ));
    }
    let slices = slices.into_iter().map(|slice| slice.header.clone()).collect();
    Ok(Series { slices, slice_spacing, remarks })
}

/// The CT slices of one series.
struct Candidate<'a> {
    headers: Vec<&'a Header>,
    /// The slices with geometry, in order along their normal.
    slices: Vec<Slice<'a>>,
}

impl<'a> Candidate<'a> {
    fn new(headers: Vec<&'a Header>) -> Candidate<'a> {
        let mut slices: Vec<Slice> = headers.iter().filter_map(|header| Slice::of(header)).collect();
        slices.sort_by(Slice::order);
        Candidate { headers, slices }
    }

    fn label(&self) -> String {
        self.headers[0].series_label()
    }

    fn usable(&self) -> f64 {
        f64::from(self.slices.len() == self.headers.len())
    }

    fn original(&self) -> f64 {
        let is = |index: usize, word| self.headers[0].image_type.get(index).is_none_or(|value| value == word);
        f64::from(is(0, "ORIGINAL") && is(1, "PRIMARY"))
    }

    fn coverage_mm(&self) -> f64 {
        match &self.slices[..] {
            [first, .., last] => last.along_mm - first.along_mm,
            _ => 0.0,
        }
    }

    fn fineness(&self) -> f64 {
        self.slices.len() as f64 / self.coverage_mm().max(1.0)
    }

    fn softness(&self) -> f64 {
        1.0 / (1.0 + sharpness(&self.headers[0].kernel))
    }

    fn count(&self) -> f64 {
        self.slices.len() as f64
    }
}

/// A stage of the rule: keeps candidates whose score is at least a share of the best one.
type Stage = (fn(&Candidate) -> f64, f64, &'static str);

const STAGES: [Stage; 6] = [
    (|one| one.usable(), 1.0, "slices without axial position, orientation or pixel spacing"),
    (|one| one.original(), 1.0, "derived images"),
    (|one| one.coverage_mm(), 0.9, "it covers less of the patient"),
    (|one| one.fineness(), 0.9, "its slices are further apart"),
    (|one| one.softness(), 1.0, "its kernel is sharper"),
    (|one| one.count(), 1.0, "it has fewer slices"),
];

/// Largest spacing by thickness; beyond it, tissue between the slices is missing.
const SPACING_TO_THICKNESS_MOST: f64 = 1.5;

fn choose<'a>(mut candidates: Vec<Candidate<'a>>, remarks: &mut Vec<String>) -> Candidate<'a> {
    for (score, share, reason) in STAGES {
        let best = candidates.iter().map(score).fold(0.0, f64::max);
        let (kept, out) = candidates.into_iter().partition(|one| score(one) >= share * best);
        candidates = kept;
        remarks.extend(out.iter().map(|one: &Candidate| format!("{} left out: {reason}", one.label())));
    }
    candidates.sort_by_key(|one| (one.headers[0].series_number, one.headers[0].series_instance_uid.clone()));
    let mut candidates = candidates.into_iter();
    let chosen = candidates.next().expect("every stage keeps the best candidate");
    remarks.extend(candidates.map(|one| format!("{} left out: another series is as good", one.label())));
    chosen
}

fn candidates<'a>(headers: &[&'a Header], remarks: &mut Vec<String>) -> Vec<Candidate<'a>> {
    let mut series: BTreeMap<&str, Vec<&Header>> = BTreeMap::new();
    let mut left_out: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for header in headers {
        match unsuitable(header) {
            None => series.entry(&header.series_instance_uid).or_default().push(header),
            Some(reason) => *left_out.entry((header.series_label(), reason)).or_default() += 1,
        }
    }
    let counted = left_out.iter().map(|((label, reason), count)| match count {
        1 => format!("{label}: 1 instance left out, {reason}"),
        _ => format!("{label}: {count} instances left out, {reason}"),
    });
    remarks.extend(counted);
    series.into_values().map(Candidate::new).collect()
}

fn unsuitable(header: &Header) -> Option<&'static str> {
    if header.sop_class_uid != CT_IMAGE_STORAGE {
        Some("not a CT image")
    } else if header.image_type.iter().any(|value| value == "LOCALIZER") {
        Some("a localizer")
    } else if header.frames != 1 || header.samples_per_pixel != 1 {
        Some("several frames or colour")
    } else {
        None
    }
}

fn no_ct(headers: &[&Header]) -> Fault {
    let mut modalities: BTreeMap<&str, usize> = BTreeMap::new();
    for header in headers {
        *modalities
            .entry(if header.modality.is_empty() { "unknown" } else { &header.modality })
            .or_default() += 1;
    }
    let found: Vec<String> = modalities.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    if headers.iter().any(|header| header.sop_class_uid == ENHANCED_CT_IMAGE_STORAGE) {
        return Fault::new(
            format!("the study has only enhanced multi-frame CT, which is not supported ({found})"),
            "Send the series as single slices (CT Image Storage); scanners and archives can convert it.",
        );
    }
    Fault::new(
        format!("the study has no axial CT slices: its instances are {found}"),
        "Send a chest CT as single slices (CT Image Storage), not only a localizer or other modalities.",
    )
}

/// Drops instances that came twice, and rejects slices without geometry.
fn distinct<'a>(chosen: &Candidate<'a>, remarks: &mut Vec<String>) -> Result<Vec<Slice<'a>>, Fault> {
    if chosen.slices.len() < chosen.headers.len() {
        let lacking = chosen.headers.iter().find(|header| Slice::of(header).is_none());
        return Err(Fault::new(
            format!(
                "{} of the {} slices of {} have no usable position, axial orientation or pixel spacing, for example {}",
                chosen.headers.len() - chosen.slices.len(),
                chosen.headers.len(),
                chosen.label(),
                lacking.map_or("", |header| &header.name),
            ),
            "Send an axial series whose images have Image Position, Image Orientation and Pixel Spacing.",
        ));
    }
    let mut slices = chosen.slices.clone();
    slices.dedup_by_key(|slice| (&slice.header.sop_instance_uid, slice.along_mm.to_bits()));
    let twice = chosen.slices.len() - slices.len();
    if twice > 0 {
        remarks.push(format!("{twice} instances of {} came more than once", chosen.label()));
    }
    Ok(slices)
}

/// The sharpness of a kernel, for comparison only: about 1 for the softest, 8 for the sharpest, 3 if unknown.
/// Siemens (B30f, Br40d) and Canon (FC08, FC51) write a number, GE a word, Philips a letter.
fn sharpness(kernel: &str) -> f64 {
    let kernel = kernel.to_ascii_uppercase();
    let digits: String =
        kernel.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    if let Ok(number) = digits.parse::<f64>() {
        return number / 10.0;
    }
    match kernel.as_str() {
        "SOFT" | "A" => 1.0,
        "STANDARD" | "B" => 2.0,
        "DETAIL" | "D" => 4.0,
        "CHEST" | "E" => 5.0,
        "LUNG" | "BONE" | "L" => 6.0,
        "BONEPLUS" => 7.0,
        "EDGE" | "ULTRA" => 8.0,
        _ => 3.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    fn slices(count: usize) -> Vec<Header> {
        (0..count).map(sample::header).collect()
    }

    fn other_series(change: impl Fn(&mut Header)) -> Vec<Header> {
        let mut other = slices(20);
        for header in &mut other {
            header.series_instance_uid = "1.9".to_owned();
            header.series_number = Some(9);
            header.sop_instance_uid.push_str(".9");
            change(header);
        }
        other
    }

    fn sorted(headers: &[Header]) -> Result<Series, Fault> {
        sort_series(&headers.iter().collect::<Vec<_>>(), 10)
    }

    /// Checks that a change to a series of 20 slices leads to a fault with this reason.
    fn check_fault(change: impl FnOnce(&mut Vec<Header>), reason: &str) {
        let mut headers = slices(20);
        change(&mut headers);
        let fault = sorted(&headers).unwrap_err();
        assert!(fault.reason.contains(reason), "{:?} does not say {reason:?}", fault.reason);
        assert!(fault.remedy.starts_with("Send"), "{}", fault.remedy);
    }

    /// Checks that of series 3 and a changed series 9, this one is chosen, for this reason.
    fn check_choice(change: impl Fn(&mut Header), chosen: i32, reason: &str) {
        let headers = [slices(20), other_series(change)].concat();
        let series = sorted(&headers).unwrap();
        assert_eq!(series.slices[0].series_number, Some(chosen), "{reason}");
        assert!(series.remarks.iter().any(|remark| remark.contains(reason)), "{:?}", series.remarks);
    }

    #[test]
    fn slices_come_in_order_whatever_order_they_came_in() {
        let mut headers = slices(20);
        headers.reverse();
        headers.swap(3, 11);
        let series = sorted(&headers).unwrap();
        assert_eq!((series.slices, series.slice_spacing), (slices(20), 1.0));
        assert!(series.remarks.is_empty());
    }

    #[test]
    fn the_normal_points_the_way() {
        // Rows to the left and columns to the front: the normal points to the feet.
        let mut headers = slices(20);
        for header in &mut headers {
            header.orientation = Some([1.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
        }
        let series = sorted(&headers).unwrap();
        assert_eq!(series.slices[0].position.unwrap()[2], 19.0);
    }

    #[test]
    fn the_rule_chooses() {
        check_choice(|other| other.image_type[0] = "DERIVED".to_owned(), 3, "derived");
        check_choice(|other| other.kernel = "B70f".to_owned(), 3, "sharper");
        check_choice(|other| other.kernel = "B10f".to_owned(), 9, "sharper");
        check_choice(|other| other.position = None, 3, "without axial position");
        check_choice(|other| other.orientation = Some([1.0, 0.0, 0.0, 0.0, 0.0, -1.0]), 3, "without axial");
        check_choice(|other| scale_z(other, 0.5), 3, "covers less");
        check_choice(|other| scale_z(other, 2.0), 9, "covers less");
        check_choice(|other| scale_z(other, 1.05), 3, "series is as good");
        check_choice(
            |other| other.image_type[2] = "LOCALIZER".to_owned(),
            3,
            "20 instances left out, a localizer",
        );
        check_choice(|other| other.sop_class_uid = "1.2.3".to_owned(), 3, "not a CT image");
    }

    fn scale_z(header: &mut Header, factor: f64) {
        if let Some(position) = &mut header.position {
            position[2] *= factor;
        }
    }

    #[test]
    fn twice_the_same_instance_is_one() {
        let mut headers = slices(20);
        headers.push(sample::header(4));
        let series = sorted(&headers).unwrap();
        assert_eq!(series.slices.len(), 20);
        assert!(series.remarks[0].contains("1 instances"), "{:?}", series.remarks);
    }

    #[test]
    fn gaps_are_named() {
        check_fault(
            |headers| drop(headers.remove(7)),
            "1 slice is missing in series 3 (Thorax) between z = 6.0 mm and 8.0 mm",
        );
        check_fault(|headers| drop(headers.drain(7..10)), "3 slices are missing");
        check_fault(
            |headers| {
                headers.remove(14);
                headers.remove(7);
            },
            "2 slices are missing in series 3 (Thorax) between z = 6.0 mm and 8.0 mm, between z = 13.0",
        );
    }

    #[test]
    fn what_is_no_regular_grid_is_refused() {
        check_fault(
            |headers| headers[5].rows = 9,
            "1 of the 20 slices of series 3 (Thorax) have another size",
        );
        check_fault(|headers| headers[5].spacing = Some([0.7, 0.7]), "another pixel spacing");
        check_fault(|headers| headers[5].frame_of_reference_uid.clear(), "another frame of reference");
        check_fault(
            |headers| headers[5].position = None,
            "1 of the 20 slices of series 3 (Thorax) have no usable",
        );
        check_fault(|headers| headers[5].bits_allocated = 32, "32 bits per pixel");
        check_fault(
            |headers| scale_z(&mut headers[5], 4.0 / 5.0),
            "1 of the 20 slices of series 3 (Thorax) lie where",
        );
        check_fault(|headers| scale_z(&mut headers[5], 1.06), "not evenly spaced: 1.00 mm apart, but 1.30");
        check_fault(|headers| headers.truncate(9), "has 9 slices, at least 10");
        let tilt = |headers: &mut Vec<Header>| {
            headers.iter_mut().enumerate().for_each(|(z, header)| {
                header.position = Some([0.0, 0.3 * z as f64, z as f64]);
            });
        };
        check_fault(tilt, "shifted sideways by up to 5.7 mm");
    }

    #[test]
    fn what_is_no_axial_ct_is_refused() {
        check_fault(Vec::clear, "its instances are nothing");
        let mr = |header: &mut Header| {
            header.sop_class_uid = "1.2.840.10008.5.1.4.1.1.4".to_owned();
            header.modality = "MR".to_owned();
        };
        check_fault(|headers| headers.iter_mut().for_each(mr), "no axial CT slices: its instances are 20 MR");
        let enhanced = |header: &mut Header| header.sop_class_uid = ENHANCED_CT_IMAGE_STORAGE.to_owned();
        check_fault(|headers| headers.iter_mut().for_each(enhanced), "enhanced multi-frame CT");
        let coronal = |header: &mut Header| header.orientation = Some([1.0, 0.0, 0.0, 0.0, 0.0, -1.0]);
        check_fault(|headers| headers.iter_mut().for_each(coronal), "20 of the 20 slices");
    }

    #[test]
    fn kernels_are_in_order() {
        let order = ["B10f", "FC08", "Br40d", "LUNG", "B70f"].map(sharpness);
        assert!(sharpness("FC08") < sharpness("FC51") && sharpness("SOFT") < sharpness("STANDARD"));
        assert!(order[0] < order[2] && order[2] < order[3] && order[3] < order[4], "{order:?}");
    }
}
