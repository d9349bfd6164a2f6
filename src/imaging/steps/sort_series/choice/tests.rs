//! What is chosen where a series holds several sets of slices, and of series that differ in little.

use std::path::Path;

use super::{check_choice, other_series, slices, sorted};
use crate::imaging::{InstanceHeader, sample};

/// Slices at the places of the others, with UIDs of their own and a change.
fn again(count: usize, change: impl Fn(usize, &mut InstanceHeader)) -> Vec<InstanceHeader> {
    let mut again = slices(count);
    for (index, header) in again.iter_mut().enumerate() {
        header.sop_instance_uid = format!("1.2.7.{index}");
        header.instance_number = Some(index as i32 + 500);
        change(index, header);
    }
    again
}

fn has_remark(remarks: &[String], words: &str) -> bool {
    remarks.iter().any(|remark| remark.contains(words))
}

#[test]
fn of_two_alike_the_one_without_a_contrast_agent_is_used_and_that_is_said() {
    let agent = |one: &mut InstanceHeader| {
        (one.contrast_agent, one.series_number) = ("Iohexol".to_owned(), Some(2));
    };
    check_choice(agent, 3, "series 2 (Thorax) left out: a contrast agent was given");
    let headers = [slices(20), again(20, |_, one| one.contrast_agent = "Iohexol".to_owned())].concat();
    let series = sorted(&headers).unwrap();
    assert!(series.slices.iter().all(|slice| slice.contrast_agent.is_empty()));
    assert!(has_remark(&series.remarks, "contrast agent Iohexol left out: a contrast agent was given"));
}

#[test]
fn thin_slices_are_taken_from_among_thick_ones_in_one_series() {
    let mut headers = again(20, |_, one| one.slice_thickness = Some(10.0));
    headers.retain(|one| one.position.unwrap()[2] % 2.0 == 0.0);
    headers.extend(slices(20));
    let series = sorted(&headers).unwrap();
    assert_eq!((series.slices, series.slice_spacing), (slices(20), 1.0));
    assert!(has_remark(&series.remarks, "2 sets of slices that differ in slice thickness"));
}

#[test]
fn slices_of_one_place_beside_a_whole_acquisition_do_not_keep_it_from_being_used() {
    let bolus = again(12, |index, one| {
        one.position = sample::header(9).position;
        (one.acquisition_number, one.acquisition_time) = (Some(2), format!("1100{index:02}"));
    });
    let series = sorted(&[slices(20), bolus].concat()).unwrap();
    assert_eq!(series.slices, slices(20));
    assert!(has_remark(&series.remarks, "2 sets of slices that differ in acquisition: one is used"));
}

#[test]
fn an_acquisition_number_that_counts_slices_makes_no_sets() {
    let counted = |from: i32| {
        move |index: usize, one: &mut InstanceHeader| {
            one.acquisition_number = Some(from + index as i32);
        }
    };
    let mut headers = slices(20);
    headers.iter_mut().enumerate().for_each(|(index, one)| counted(1)(index, one));
    assert_eq!(sorted(&headers).unwrap().slices, headers);
    // Two phases that nothing but their numbers tells apart.
    headers.extend(again(20, counted(21)));
    let series = sorted(&headers).unwrap();
    assert_eq!(series.slices.len(), 20);
    assert!(has_remark(&series.remarks, "2 sets of slices that differ in instance number: one is used"));
}

#[test]
fn a_border_of_acquisitions_does_not_part_a_series_that_has_a_copy_elsewhere() {
    let mut headers = slices(20);
    headers[10..].iter_mut().for_each(|one| one.acquisition_number = Some(2));
    let second = |index: usize, number: i32| InstanceHeader {
        acquisition_number: Some(number),
        sop_instance_uid: format!("1.2.8.{index}"),
        ..sample::header(index)
    };
    headers.extend([second(9, 2), second(4, 1)]);
    let fault = sorted(&headers).unwrap_err();
    assert!(fault.reason.starts_with("2 of the 22 slices"), "{fault}");
}

#[test]
fn rounded_cosines_and_spacings_are_one_volume() {
    let mut headers = slices(20);
    for header in headers.iter_mut().skip(1).step_by(2) {
        header.orientation = Some([0.999_998, 0.002, 0.0, -0.002, 0.999_998, 0.0]);
        header.spacing = Some([0.501, 0.501]);
    }
    // Far from the first pixel, as a first pixel of a chest is.
    let far = |index: usize| Some([-200.0, -180.0, index as f64]);
    headers.iter_mut().enumerate().for_each(|(index, one)| one.position = far(index));
    let series = sorted(&headers).unwrap();
    assert_eq!(series.slices.len(), 20);
    assert!((series.slice_spacing - 1.0).abs() < 1e-9, "{}", series.slice_spacing);
    assert_eq!((series.remarks.len(), series.reservations.len()), (0, 0), "{:?}", series.remarks);
    let oblique = |cosines: [f64; 6]| {
        let mut headers = slices(20);
        headers.iter_mut().for_each(|one| one.orientation = Some(cosines));
        sorted(&headers).map(|series| series.slices[0].orientation.unwrap())
    };
    // Ten degrees with two decimals.
    let [a, b, ..] = oblique([0.98, 0.17, 0.0, -0.17, 0.98, 0.0]).unwrap();
    assert!((a * a + b * b - 1.0).abs() < 1e-12);
    assert!(oblique([0.9, 0.2, 0.0, -0.2, 0.9, 0.0]).is_err(), "no rounding is so large");
}

#[test]
fn positions_in_whole_millimetres_are_an_even_stack() {
    let placed = |places: &[f64]| {
        let mut headers = slices(places.len());
        let placed = headers.iter_mut().zip(places);
        placed.for_each(|(one, mm)| one.position = Some([-2.0, -1.5, mm.round()]));
        sorted(&headers).map(|series| series.slice_spacing)
    };
    let even: Vec<f64> = (0..41).map(|index| 2.5 * f64::from(index) + 0.1).collect();
    assert_eq!(placed(&even), Ok(2.5));
    let missing: Vec<f64> = even[..20].iter().chain(&even[21..]).copied().collect();
    assert!(placed(&missing).unwrap_err().reason.contains("missing"));
    let wider: Vec<f64> =
        (0..40).map(|index| 2.5 * f64::from(index) + f64::from(index.max(20) - 20)).collect();
    assert!(placed(&wider).unwrap_err().reason.contains("not evenly spaced"));
}

#[test]
fn a_tilt_between_the_slices_of_a_stack_moves_none_of_them_along_it() {
    let mut headers = slices(20);
    for (index, header) in headers.iter_mut().enumerate() {
        let tilt = [0.0, 0.001, -0.001][index % 3];
        header.orientation = Some([1.0, 0.0, tilt, 0.0, 1.0, tilt]);
        header.position = Some([-250.0, -250.0, index as f64]);
    }
    assert_eq!(sorted(&headers).unwrap().slice_spacing, 1.0);
}

/// Files of a child's chest: 60 × 60 mm, with two lungs of 20 × 30 mm or none in it.
fn child(folder: &Path, mut headers: Vec<InstanceHeader>, has_lungs: bool) -> Vec<InstanceHeader> {
    for header in &mut headers {
        (header.rows, header.columns, header.spacing) = (80, 80, Some([1.0, 1.0]));
        header.path = folder.join(format!("{}.dcm", header.sop_instance_uid));
        let stored = |index: usize| {
            let (x, y) = (index % 80, index / 80);
            let is_lung = (25..55).contains(&y) && ((15..35).contains(&x) || (45..65).contains(&x));
            match () {
                () if has_lungs && is_lung => 174,
                () if (10..70).contains(&x) && (10..70).contains(&y) => 1064,
                () => 24_u16,
            }
        };
        let pixels: Vec<u8> = (0..6400).flat_map(|index| stored(index).to_le_bytes()).collect();
        std::fs::write(&header.path, sample::slice_file(header, &pixels)).unwrap();
    }
    headers
}

#[test]
fn a_childs_chest_is_chosen_before_a_longer_series_of_the_abdomen() {
    let folder = tempfile::tempdir().unwrap();
    let chest = child(folder.path(), slices(20), true);
    let mut abdomen = other_series(|_| {});
    abdomen.iter_mut().for_each(|one| one.position.as_mut().unwrap()[2] *= 2.0);
    let abdomen = child(folder.path(), abdomen, false);
    let series = sorted(&[chest.clone(), abdomen].concat()).unwrap();
    assert_eq!(series.slices, chest, "24 mL are lungs in a body of 36 cm²");
    assert!(has_remark(&series.remarks, "series 9 (Thorax) left out: it shows less of the lungs"));
}
