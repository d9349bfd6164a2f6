//! The rule chooses as its description says, and what it passes over is remarked.

use super::*;
use crate::imaging::{PixelUnits, sample};

#[path = "choice/tests.rs"]
mod choice;
#[path = "split/tests.rs"]
mod split;

fn slices(count: usize) -> Vec<InstanceHeader> {
    (0..count).map(sample::header).collect()
}

fn other_series(change: impl Fn(&mut InstanceHeader)) -> Vec<InstanceHeader> {
    let mut other = slices(20);
    for header in &mut other {
        header.series_instance_uid = "1.9".to_owned();
        header.series_number = Some(9);
        header.sop_instance_uid.push_str(".9");
        change(header);
    }
    other
}

fn sorted(headers: &[InstanceHeader]) -> Result<SortedSeries, Fault> {
    sort_series(&headers.iter().collect::<Vec<_>>(), 10)
}

/// A series of 20 slices with this change must give a fault with this reason.
fn check_fault(change: impl FnOnce(&mut Vec<InstanceHeader>), reason: &str) {
    let mut headers = slices(20);
    change(&mut headers);
    let fault = sorted(&headers).unwrap_err();
    assert!(fault.reason.contains(reason), "{:?} does not say {reason:?}", fault.reason);
    assert!(fault.remedy.starts_with("Send"), "{}", fault.remedy);
}

const CORONAL: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0];

/// Of the series 3 and a changed series 9, this one is chosen, for this reason.
fn check_choice(change: impl Fn(&mut InstanceHeader), chosen: i32, reason: &str) {
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
    check_choice(|other| other.position = None, 3, "without a usable Image Position");
    check_choice(|other| other.orientation = Some(CORONAL), 3, "coronal slices");
    check_choice(|other| scale_z(other, 0.5), 3, "covers less");
    check_choice(|other| scale_z(other, 2.0), 9, "covers less");
    check_choice(|other| scale_z(other, 1.05), 3, "another is as good");
    check_choice(
        |other| other.image_type[2] = "LOCALIZER".to_owned(),
        3,
        "20 instances left out, a localizer",
    );
    check_choice(|other| other.sop_class_uid = "1.2.3".to_owned(), 3, "not a CT image");
}

fn scale_z(header: &mut InstanceHeader, factor: f64) {
    if let Some(position) = &mut header.position {
        position[2] *= factor;
    }
}

#[test]
fn two_files_with_one_sop_instance_uid_are_refused_by_name() {
    check_fault(
        |headers| headers.push(InstanceHeader { name: "copy-4".to_owned(), ..sample::header(4) }),
        "the files slice-4 and copy-4 have the same SOP Instance UID and other contents",
    );
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
    check_fault(|headers| headers[5].rows = 9, "1 instance has another size than the others, left out");
    check_fault(|headers| headers[5].spacing = Some([0.7, 0.7]), "another pixel spacing");
    check_fault(
        |headers| headers[5].position = None,
        "between z = 4.0 mm and 6.0 mm (series 3 (Thorax): 1 instance left out, without a usable Image Position",
    );
    check_fault(
        |headers| headers[5].sop_instance_uid.clear(),
        "1 instance left out, without a SOP Instance UID or a Series Instance UID",
    );
    check_fault(|headers| headers[5].bits_allocated = 1, "1 slice is missing");
    check_fault(
        |headers| scale_z(&mut headers[5], 4.0 / 5.0),
        "1 of the 20 slices of series 3 (Thorax) lie where",
    );
    check_fault(|headers| scale_z(&mut headers[5], 1.06), "not evenly spaced: 1.00 mm apart, but 1.30");
    check_fault(|headers| headers.truncate(9), "has 9 slices, at least 10");
    let wide_above = |headers: &mut Vec<InstanceHeader>| {
        headers.iter_mut().skip(10).enumerate().for_each(|(index, header)| {
            header.position = Some([-2.0, -1.5, 9.0 + 2.0 * (index + 1) as f64]);
        });
    };
    check_fault(wide_above, "changes from 1.00 mm to 2.00 mm at z = 9.0 mm");
}

#[test]
fn slices_aside_of_each_other_are_counted_in_pixels() {
    let mut headers = slices(20);
    for (z, header) in headers.iter_mut().enumerate() {
        header.position = Some([-2.0, -1.5 + 0.3 * z as f64, z as f64]);
    }
    let series = sorted(&headers).unwrap();
    assert_eq!([series.shifts[0], series.shifts[5], series.shifts[19]], [[0, 0], [0, 3], [0, 11]]);
    assert!(series.remarks[0].contains("up to 11 pixels aside"), "{:?}", series.remarks);
}

#[test]
fn instances_that_cannot_be_slices_are_left_out() {
    let check = |change: fn(&mut InstanceHeader), reason: &str| {
        let mut headers = slices(20);
        let mut odd = InstanceHeader { sop_instance_uid: "1.2.99".to_owned(), ..sample::header(25) };
        change(&mut odd);
        headers.push(odd);
        let series = sorted(&headers).unwrap();
        assert_eq!(series.slices.len(), 20, "{reason}");
        assert!(series.remarks.iter().any(|remark| remark.contains(reason)), "{:?}", series.remarks);
    };
    check(|odd| odd.orientation = Some(CORONAL), "coronal slices");
    check(|odd| odd.orientation = Some([0.0, 1.0, 0.0, 0.0, 0.0, -1.0]), "sagittal slices");
    check(|odd| odd.orientation = Some([1.0, 0.0, 0.0, 0.0, 0.6, 0.8]), "slices that lie 53° from axial");
    check(
        |odd| odd.orientation = Some([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
        "without a usable Image Orientation (Patient)",
    );
    check(|odd| odd.rows = 99, "1 instance has another size than the others");
    check(|odd| odd.sop_instance_uid.clear(), "without a SOP Instance UID");
    check(|odd| odd.units = PixelUnits::Other("Z_EFF".to_owned()), "with Rescale Type \"Z_EFF\", not HU");
    check(|odd| odd.units = PixelUnits::NotRescaled, "without Rescale Slope and Intercept");
}

#[test]
fn frames_of_reference_of_their_own_are_remarked() {
    let mut headers = slices(20);
    headers.iter_mut().for_each(|header| header.frame_of_reference_uid = header.sop_instance_uid.clone());
    let series = sorted(&headers).unwrap();
    assert!(series.remarks[0].contains("20 frames of reference"), "{:?}", series.remarks);
}

#[test]
fn two_acquisitions_in_one_series_are_two_candidates() {
    let mut headers = slices(20);
    for (index, header) in slices(20).into_iter().enumerate() {
        let sop_instance_uid = format!("1.2.2.{index}");
        headers.push(InstanceHeader { acquisition_number: Some(2), sop_instance_uid, ..header });
    }
    let series = sorted(&headers).unwrap();
    assert!(series.slices.iter().all(|slice| slice.acquisition_number == Some(1)));
    assert!(
        series.remarks.iter().any(|remark| remark.contains("2 sets of slices that differ in acquisition"))
    );
}

#[test]
fn a_slice_of_the_next_acquisition_at_the_same_place_counts_once() {
    let mut headers = slices(20);
    headers.iter_mut().skip(10).for_each(|header| header.acquisition_number = Some(2));
    let again = InstanceHeader {
        acquisition_number: Some(2),
        sop_instance_uid: "1.2.99".to_owned(),
        ..sample::header(9)
    };
    headers.push(again);
    let series = sorted(&headers).unwrap();
    assert_eq!(series.slices, {
        headers.truncate(20);
        headers
    });
    assert!(series.remarks[0].contains("1 slice of"), "{:?}", series.remarks);
}

#[test]
fn two_patients_are_never_one() {
    check_fault(|headers| headers[5].patient_id = "P2".to_owned(), "2 different Patient IDs");
}

#[test]
fn images_without_uids_are_refused_for_that_reason() {
    let without = |headers: &mut Vec<InstanceHeader>| {
        headers.iter_mut().for_each(|one| one.series_instance_uid.clear());
    };
    check_fault(without, "have no SOP Instance UID or no Series Instance UID");
}

#[test]
fn one_slice_is_told_as_one() {
    check_fault(|headers| headers.truncate(1), "has 1 slice, at least");
}

#[test]
fn what_cannot_be_read_in_hounsfield_units_is_refused_for_that_reason() {
    let all = |units: PixelUnits| {
        move |headers: &mut Vec<InstanceHeader>| headers.iter_mut().for_each(|one| one.units = units.clone())
    };
    check_fault(all(PixelUnits::NotRescaled), "no CT slices in Hounsfield units");
    let unreadable = PixelUnits::Unreadable("Rescale Intercept \"-1,024\"".to_owned());
    check_fault(all(unreadable), "with the unusable Rescale Intercept \"-1,024\"");
}

#[test]
fn a_series_that_lacks_a_slice_gives_way_to_a_whole_one() {
    let mut headers = [slices(20), other_series(|other| other.kernel = "B70f".to_owned())].concat();
    headers.remove(7);
    let series = sorted(&headers).unwrap();
    assert_eq!(series.slices[0].series_number, Some(9));
    assert!(series.remarks.iter().any(|remark| remark.contains("passed over: 1 slice is missing")));
}

#[test]
fn what_is_no_axial_ct_is_refused() {
    check_fault(Vec::clear, "its instances are nothing");
    let mr = |header: &mut InstanceHeader| {
        header.sop_class_uid = "1.2.840.10008.5.1.4.1.1.4".to_owned();
        header.modality = "MR".to_owned();
    };
    check_fault(|headers| headers.iter_mut().for_each(mr), "no axial CT slices: its instances are 20 MR");
    let other = |header: &mut InstanceHeader| header.sop_class_uid = "1.2.840.10008.5.1.4.1.1.7".to_owned();
    check_fault(|headers| headers.iter_mut().for_each(other), "not a CT image");
    let coronal = |header: &mut InstanceHeader| header.orientation = Some(CORONAL);
    check_fault(
        |headers| headers.iter_mut().for_each(coronal),
        "the study has no axial CT slices (series 3 (Thorax): 20 instances left out, coronal slices)",
    );
}

#[test]
fn kernels_are_in_order() {
    let order = ["B10f", "FC08", "Br40d", "LUNG", "B70f"].map(sharpness);
    assert!(sharpness("FC08") < sharpness("FC51") && sharpness("SOFT") < sharpness("STANDARD"));
    assert!(order[0] < order[2] && order[2] < order[3] && order[3] < order[4], "{order:?}");
}

#[test]
fn a_smaller_change_of_distance_counts_between_long_runs() {
    let wider_above = |headers: &mut Vec<InstanceHeader>| {
        for (index, header) in headers.iter_mut().enumerate() {
            let above = index.saturating_sub(11) as f64;
            header.position = Some([-2.0, -1.5, index as f64 + 0.1 * above]);
        }
    };
    let mut headers = slices(30);
    wider_above(&mut headers);
    let fault = sorted(&headers).unwrap_err();
    assert!(fault.reason.contains("changes from 1.00 mm to 1.10 mm at z = 11.0 mm"), "{fault}");
    let rounded = |index: usize| (0.65 * index as f64 * 10.0).round() / 10.0;
    let mut headers = slices(30);
    for (index, header) in headers.iter_mut().enumerate() {
        header.position = Some([-2.0, -1.5, rounded(index)]);
    }
    assert!(sorted(&headers).is_ok(), "positions with one digit");
}

#[test]
fn a_missing_slice_is_noticed_where_positions_are_rounded() {
    let placed = |spacing: f64, offset: f64| {
        let mut headers = slices(30);
        for (index, header) in headers.iter_mut().enumerate() {
            header.position = Some([-2.0, -1.5, (offset + spacing * index as f64).round()]);
        }
        headers
    };
    for spacing in [1.5, 1.6, 1.75, 1.85, 1.9, 1.95, 1.97, 1.99, 2.1, 2.5] {
        for offset in [0.0, 0.125, 0.25, 0.375, 0.75] {
            let headers = placed(spacing, offset);
            let is_even = sorted(&headers);
            if let Ok(series) = &is_even {
                assert!((series.slice_spacing - spacing).abs() < 0.05, "{spacing}: {}", series.slice_spacing);
            }
            assert!(is_even.is_ok() || (1.8..2.25).contains(&spacing), "{spacing} from {offset}");
            for missing in 1..29 {
                let mut others = headers.clone();
                others.remove(missing);
                let is_told = sorted(&others).map_or(true, |series| !series.reservations.is_empty());
                assert!(is_told, "{spacing} from {offset}, without slice {missing}");
            }
        }
    }
}

#[test]
fn slices_aside_of_a_straight_line_are_a_reservation() {
    let moved = |aside: fn(usize) -> f64| {
        let mut headers = slices(20);
        for (index, header) in headers.iter_mut().enumerate() {
            header.position = Some([-2.0 + aside(index), -1.5, index as f64]);
        }
        sorted(&headers).unwrap().reservations
    };
    assert_eq!(moved(|index| 0.3 * index as f64), [], "a tilted gantry");
    let reservations = moved(|index| if (8..12).contains(&index) { 6.0 } else { 0.0 });
    let [reservation] = &reservations[..] else { panic!("one reservation: {reservations:?}") };
    assert_eq!(reservation.code, "bent_stack");
    assert!(reservation.text.contains("that at z = 11.0 mm is 6 mm aside"), "{}", reservation.text);
}

#[test]
fn slices_of_two_reconstructions_are_a_reservation() {
    let mut headers = slices(20);
    assert_eq!(sorted(&headers).unwrap().reservations, []);
    headers[3..8].iter_mut().for_each(|header| header.intercept = -1000.0);
    let reservation = sorted(&headers).unwrap().reservations.remove(0);
    assert_eq!(reservation.code, "mixed_rescale");
    assert!(reservation.text.starts_with("5 of 20 slices"), "{}", reservation.text);
}

#[test]
fn acquisitions_that_alternate_along_the_patient_are_two_candidates() {
    let alternate = |name: &str, change: fn(&mut InstanceHeader)| {
        let mut headers = slices(40);
        headers.iter_mut().skip(1).step_by(2).for_each(change);
        let series = sorted(&headers).unwrap();
        assert_eq!((series.slices.len(), series.slice_spacing), (20, 2.0), "{name}");
        let said = format!("series 3 (Thorax) holds 2 sets of slices that differ in {name}: one is used");
        assert!(series.remarks.contains(&said), "{:?}", series.remarks);
        assert_eq!(series.reservations, []);
    };
    alternate("acquisition", |header| header.acquisition_number = Some(2));
    alternate("temporal position", |header| header.temporal_position = Some(2));
    alternate("kernel", |header| header.kernel = "B70f".to_owned());
}

/// A second phase lies between the slices of the first one, not in their middle: together they are no regular grid.
#[test]
fn a_phase_between_the_slices_of_another_is_a_candidate_of_its_own() {
    let mut headers = slices(20);
    for (index, header) in slices(20).into_iter().enumerate() {
        headers.push(InstanceHeader {
            sop_instance_uid: format!("1.2.2.{index}"),
            temporal_position: Some(2),
            position: Some([-2.0, -1.5, index as f64 + 0.3]),
            ..header
        });
    }
    let series = sorted(&headers).unwrap();
    assert_eq!((series.slices.len(), series.slice_spacing), (20, 1.0));
}

#[test]
fn what_changes_on_the_way_is_a_reservation_that_names_it_and_its_place() {
    let mut headers = slices(20);
    headers[12..].iter_mut().for_each(|header| header.kernel = "B70f".to_owned());
    let reservations = sorted(&headers).unwrap().reservations;
    assert_eq!((reservations.len(), reservations[0].code.as_str()), (1, "mixed_slices"));
    let said = "the kernel of series 3 (Thorax) changes from B30f to B70f at z = 12.0 mm: ";
    assert!(reservations[0].text.starts_with(said), "{}", reservations[0].text);
    headers[3].kernel = "B50f".to_owned();
    let text = sorted(&headers).unwrap().reservations.remove(0).text;
    assert!(text.contains("from B30f to B50f at z = 3.0 mm and at 2 further places"), "{text}");
    // A kernel that is not written says nothing, and a scan in steps has an acquisition for each position.
    let mut headers = slices(20);
    headers[3].kernel.clear();
    headers[10..].iter_mut().for_each(|header| header.acquisition_number = Some(2));
    assert_eq!(sorted(&headers).unwrap().reservations, []);
    for index in [2, 5, 11, 14, 15] {
        headers[index].acquisition_number = Some(3);
    }
    let text = sorted(&headers).unwrap().reservations.remove(0).text;
    assert!(text.starts_with("slices of 3 acquisitions alternate in series 3"), "{text}");
}

#[test]
fn projections_and_maps_are_no_ct_numbers_of_slices() {
    let of_type = |value: &'static str| {
        move |headers: &mut Vec<InstanceHeader>| {
            headers.iter_mut().for_each(|one| one.image_type.push(value.to_owned()));
        }
    };
    check_fault(
        of_type("MINIP"),
        "the study has no CT slices as they were reconstructed (series 3 (Thorax): 20 instances left out, a projection",
    );
    check_fault(of_type("IODINE"), "a map of a material or another quantity");
    check_choice(|other| other.image_type.push("MIP".to_owned()), 3, "a projection of the largest or least");
}

#[test]
fn computed_and_lossy_series_have_a_reservation() {
    let mut headers = slices(20);
    headers.iter_mut().for_each(|one| (one.is_lossy, one.image_type[0]) = (true, "DERIVED".to_owned()));
    let codes: Vec<String> = sorted(&headers).unwrap().reservations.into_iter().map(|one| one.code).collect();
    assert_eq!(codes, ["derived_image", "lossy"]);
}

#[test]
fn an_impossible_pixel_spacing_is_the_reason() {
    check_fault(
        |headers| headers.iter_mut().for_each(|one| one.spacing = Some([0.0, 0.0])),
        "the size of the study's pixels is not known (series 3 (Thorax): 20 instances left out, with an impossible \
         Pixel Spacing of 0 × 0 mm)",
    );
}

#[test]
fn slices_at_the_ends_that_show_nothing_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut headers = slices(20);
    for (index, header) in headers.iter_mut().enumerate() {
        header.path = folder.path().join(format!("{index}.dcm"));
        let is_blank = index < 3 || index == 9 || index >= 18;
        let stored = |at: u16| if is_blank { 0 } else { 1000 + at };
        let pixels: Vec<u8> = (0..12).flat_map(|at| stored(at).to_le_bytes()).collect();
        std::fs::write(&header.path, sample::slice_file(header, &pixels)).unwrap();
    }
    let series = sorted(&headers).unwrap();
    assert_eq!(
        series.slices,
        headers[3..18],
        "the one within stays: it is named when the volume is assembled"
    );
    assert_eq!(
        series.remarks,
        ["5 slices of series 3 (Thorax) show nothing, beyond those from z = 3.0 mm to 17.0 mm: left out"]
    );
    headers.truncate(11);
    let fault = sorted(&headers).unwrap_err();
    assert!(fault.reason.contains("has 8 slices") && fault.reason.contains("3 slices of"), "{fault}");
}
