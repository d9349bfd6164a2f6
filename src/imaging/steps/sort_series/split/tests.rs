//! Slices of one stack with several Series Instance UIDs are measured as one, with a reservation, where nothing else tells
//! them apart.

use super::*;

/// Slices with a Series Instance UID for each so many of them, after a change.
fn split(every: usize, change: impl Fn(usize, &mut InstanceHeader)) -> Vec<InstanceHeader> {
    let mut headers = slices(20);
    for (index, header) in headers.iter_mut().enumerate() {
        header.series_instance_uid = format!("1.1.{}", index / every);
        change(index, header);
    }
    headers
}

#[track_caller]
fn check_joined(headers: &[InstanceHeader], uids: &str) {
    let series = sorted(headers).unwrap();
    let [only] = &series.reservations[..] else { panic!("one reservation: {:?}", series.reservations) };
    assert_eq!((series.slices.len(), only.code.as_str()), (20, "several_series"));
    assert!(
        only.text.starts_with(&format!("the 20 slices of series 3 (Thorax) have {uids}")),
        "{}",
        only.text
    );
}

/// Series of one slice each are refused, and this is the reason why they are no stack together.
#[track_caller]
fn check_apart(headers: &[InstanceHeader], why: &str) {
    let expected = format!(
        "the study has 20 series of 1 slice each, and at least 10 slices in one are needed; they were not joined to one \
         stack, as {why}"
    );
    assert_eq!(sorted(headers).unwrap_err().reason, expected);
}

/// The reason why slices that were taken for one series are refused.
#[track_caller]
fn check_refused(headers: &[InstanceHeader], reason: &str) {
    let count = headers.len();
    let expected = format!(
        "{reason} (its {count} slices have {count} Series Instance UIDs and were taken for one series)"
    );
    assert_eq!(sorted(headers).unwrap_err().reason, expected);
}

/// Slices with a series each, and one of them again in a series of its own.
fn doubled(number: i32) -> Vec<InstanceHeader> {
    let mut headers = split(1, |_, _| ());
    headers.push(InstanceHeader {
        sop_instance_uid: "1.2.9.1".to_owned(),
        series_instance_uid: "1.1.9.1".to_owned(),
        instance_number: Some(number),
        name: "copy".to_owned(),
        path: "copy.dcm".into(),
        ..sample::header(9)
    });
    headers
}

#[test]
fn slices_with_a_series_uid_each_are_one_series() {
    check_joined(&split(1, |_, _| ()), "20 Series Instance UIDs");
    check_joined(
        &split(1, |index, one| one.series_number = Some(index as i32 + 3)),
        "20 Series Instance UIDs",
    );
    check_joined(&split(1, |_, one| one.instance_number = Some(1)), "20 Series Instance UIDs");
    check_joined(
        &split(1, |index, one| one.instance_number = Some(90 - index as i32)),
        "20 Series Instance UIDs",
    );
    check_joined(&split(5, |_, _| ()), "4 Series Instance UIDs");
    let own_frames = |_, one: &mut InstanceHeader| one.frame_of_reference_uid = one.sop_instance_uid.clone();
    check_joined(&split(1, own_frames), "20 Series Instance UIDs");
    assert_eq!(sorted(&slices(20)).unwrap().reservations, []);
}

#[test]
fn a_series_in_two_parts_is_one_if_its_numbers_go_on() {
    check_joined(&split(10, |_, _| ()), "2 Series Instance UIDs");
    let apart = |change: fn(usize, &mut InstanceHeader)| {
        let series = sorted(&split(10, change)).unwrap();
        assert_eq!((series.slices.len(), series.reservations), (10, Vec::new()));
    };
    apart(|index, one| one.series_number = Some(3 + index as i32 / 10));
    apart(|index, one| one.instance_number = Some(index as i32 % 10));
    apart(|index, one| one.frame_of_reference_uid = (index / 10).to_string());
}

#[test]
fn what_else_tells_slices_apart_keeps_them_apart() {
    let numbers = "their instance numbers neither rise nor fall along the patient";
    check_apart(
        &split(1, |index, one| one.series_description = index.to_string()),
        "they differ in series description",
    );
    check_apart(&split(1, |index, one| one.instance_number = Some((index as i32 * 7) % 20)), numbers);
    check_apart(
        &split(1, |index, one| one.acquisition_number = Some(index as i32 * 7 % 20)),
        "their acquisition numbers go up and down along the patient",
    );
    check_apart(&split(1, |index, one| one.rows = 3 + index as u16 % 3), "they differ in size");
    check_apart(
        &split(1, |index, one| {
            if index > 9 {
                one.orientation = Some([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
            }
        }),
        "they differ in orientation",
    );
    check_apart(
        &split(1, |index, one| one.frame_of_reference_uid = (index / 10).to_string()),
        "they name 2 frames of reference",
    );
    let own_frames = |_, one: &mut InstanceHeader| {
        one.frame_of_reference_uid = one.sop_instance_uid.clone();
        one.instance_number = Some(1);
    };
    check_apart(&split(1, own_frames), numbers);
    let few = sorted(&split(3, |_, _| ())[..8]).unwrap_err().reason;
    assert_eq!(few, "the study has 3 series of 2 to 3 slices each, and at least 10 slices in one are needed");
}

#[test]
fn a_lost_slice_is_named_as_in_one_series() {
    let mut headers = split(1, |_, _| ());
    headers.remove(9);
    check_refused(&headers, "1 slice is missing in series 3 (Thorax) between z = 8.0 mm and 10.0 mm");
    headers.iter_mut().for_each(|one| one.instance_number = Some(1));
    check_refused(&headers, "1 slice is missing in series 3 (Thorax) between z = 8.0 mm and 10.0 mm");
}

#[test]
fn a_doubled_slice_is_named_as_in_one_series() {
    for number in [9, 0, 21] {
        check_refused(
            &doubled(number),
            "1 of the 21 slices of series 3 (Thorax) lie where another one is, the first at z = 9.0 mm",
        );
    }
}

#[test]
fn a_copy_of_a_slice_is_left_out_as_in_one_series() {
    let folder = tempfile::tempdir().unwrap();
    let mut headers = doubled(21);
    for header in &mut headers {
        header.path = folder.path().join(&header.name);
        let pixels = (header.position.unwrap()[2] as u16).to_le_bytes().repeat(12);
        std::fs::write(&header.path, sample::slice_file(header, &pixels)).unwrap();
    }
    check_joined(&headers, "20 Series Instance UIDs");
    let remarks = sorted(&headers).unwrap().remarks;
    assert!(remarks.iter().any(|remark| remark.contains("with the same pixels")), "{remarks:?}");
}

#[test]
fn two_acquisitions_or_kernels_of_such_slices_are_two_stacks() {
    let every_second = |change: fn(usize, &mut InstanceHeader)| {
        let series = sorted(&split(1, change)).unwrap();
        assert_eq!((series.slices.len(), series.slice_spacing), (10, 2.0));
        assert_eq!(series.slices[0].kernel, "B30f");
        assert!(series.reservations[0].text.contains("10 Series Instance UIDs"), "{:?}", series.reservations);
    };
    every_second(|index, one| one.kernel = ["B30f", "B70f"][index % 2].to_owned());
    every_second(|index, one| one.acquisition_number = Some(index as i32 % 2));
    let again = split(1, |index, one| {
        one.acquisition_number = Some(2);
        one.series_instance_uid = format!("1.8.{index}");
        one.sop_instance_uid = format!("1.2.8.{index}");
    });
    check_joined(&[split(1, |_, _| ()), again].concat(), "20 Series Instance UIDs");
}
