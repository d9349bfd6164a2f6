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

#[track_caller]
fn check_apart(headers: &[InstanceHeader]) {
    assert!(sorted(headers).is_err(), "{:?}", sorted(headers).map(|series| series.reservations));
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
    check_apart(&split(1, |index, one| one.series_description = index.to_string()));
    check_apart(&split(1, |index, one| one.instance_number = Some((index as i32 * 7) % 20)));
    check_apart(&split(1, |index, one| one.acquisition_number = Some(index as i32 * 7 % 20)));
    check_apart(&split(1, |index, one| one.rows = 3 + u16::from(index == 9)));
    check_apart(&split(1, |index, one| {
        if index > 9 {
            one.orientation = Some([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
        }
    }));
    check_apart(&split(1, |index, one| one.frame_of_reference_uid = (index / 10).to_string()));
    let own_frames = |_, one: &mut InstanceHeader| {
        one.frame_of_reference_uid = one.sop_instance_uid.clone();
        one.instance_number = Some(1);
    };
    check_apart(&split(1, own_frames));
    let mut gap = split(1, |_, _| ());
    gap.remove(9);
    check_apart(&gap);
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
