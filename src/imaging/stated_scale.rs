//! Contradictions in what the headers say of the images' scale: widths and distances.
//!
//! Volumes are computed from Pixel Spacing and positions. Where another attribute says otherwise by over a tenth, one of
//! the two is wrong, and with it perhaps all volumes.

use super::InstanceHeader;
use super::slices::AxialSlice;
use crate::step::{StepReservation, StepReservations};

/// The largest difference of two attributes that say the same, as a share.
const DIFFERENCE_MOST: f64 = 0.1;
/// Columns and rows of the images that scanners reconstruct.
const MATRICES: [u16; 5] = [256, 512, 768, 1024, 2048];
/// The largest difference of a field of view from that of such an image, as a share.
const MATRIX_SHARE: f64 = 0.01;

/// Reservations for a series whose headers contradict each other on its scale. `spacing` is the distance of the slices
/// along their normal in mm.
pub fn stated_scale(slices: &[AxialSlice], spacing: f64) -> Vec<StepReservation> {
    let mut reservations = StepReservations::default();
    let Some(first) = slices.first().map(|slice| slice.header) else { return Vec::new() };
    if let Some((width, stated)) = width_mm(first) {
        let text = format!(
            "by Pixel Spacing the images are {width:.0} mm wide, by Reconstruction Diameter {stated:.0} mm, and they do \
             not look cropped or padded: one of the two is wrong; volumes are computed from Pixel Spacing, so compare \
             the size of the body in the pictures with the patient"
        );
        reservations.say("scale_differs", text);
    }
    let apart = median(slices.windows(2).map(|pair| pair[0].distance_mm(&pair[1])).collect());
    let located = slices
        .windows(2)
        .filter_map(|pair| Some((pair[1].header.slice_location? - pair[0].header.slice_location?).abs()));
    let between = slices.iter().filter_map(|slice| slice.header.spacing_between_slices.map(f64::abs));
    let stated = [
        ("Slice Location", median(located.collect())),
        ("Spacing Between Slices", median(between.collect())),
    ];
    for (name, mm) in stated {
        // With a tilted gantry, the way of the table is longer than the distance along the normal.
        let agrees = |apart: f64| !differ(apart, mm);
        if mm <= 0.0 || agrees(spacing) || agrees(apart) {
            continue;
        }
        let text = format!(
            "by their positions the slices are {spacing:.2} mm apart, by {name} {mm:.2} mm: one of the two is wrong; \
             volumes are computed from the positions, so compare the length of the body in the pictures with the patient"
        );
        reservations.say("scale_differs", text);
    }
    reservations.0
}

/// The width of the images by Pixel Spacing and by Reconstruction Diameter, if the two differ and neither cropping nor
/// padding explains that.
fn width_mm(header: &InstanceHeader) -> Option<(f64, f64)> {
    let stated = header.reconstruction_diameter.filter(|mm| *mm > 0.0)?;
    let [between_rows, between_columns] = header.spacing?;
    let width = (f64::from(header.columns) * between_columns).max(f64::from(header.rows) * between_rows);
    let is_cut_out = is_cut_out(header, stated / between_columns.max(between_rows));
    (differ(width, stated) && !is_cut_out).then_some((width, stated))
}

/// Whether images have another matrix than the scanner's, and their pixels make such a matrix over the whole field:
/// then the images were cropped or padded after they were reconstructed.
fn is_cut_out(header: &InstanceHeader, columns_of_field: f64) -> bool {
    let size = [header.columns, header.rows];
    let is_scanners = size[0] == size[1] && MATRICES.contains(&size[0]);
    let fits = |matrix: &u16| (columns_of_field / f64::from(*matrix) - 1.0).abs() <= MATRIX_SHARE;
    !is_scanners && MATRICES.iter().any(fits)
}

fn differ(mm: f64, stated: f64) -> bool {
    (mm - stated).abs() > DIFFERENCE_MOST * mm.max(stated)
}

/// The median; 0 of nothing.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    /// The reservations of a series 1 mm apart, 2 mm wide, with a change to each header.
    fn said(change: impl Fn(usize, &mut InstanceHeader)) -> Vec<(String, String)> {
        let mut headers: Vec<InstanceHeader> = (0..12).map(sample::header).collect();
        headers.iter_mut().enumerate().for_each(|(index, header)| change(index, header));
        let slices: Vec<AxialSlice> = headers.iter().filter_map(AxialSlice::of).collect();
        assert_eq!(slices.len(), 12);
        stated_scale(&slices, 1.0).into_iter().map(|one| (one.code, one.text)).collect()
    }

    fn check(change: impl Fn(usize, &mut InstanceHeader), code: &str, words: &str) {
        let said = said(change);
        let [(one, text)] = &said[..] else { panic!("one reservation, {code}: {said:?}") };
        assert!(one == code && text.contains(words), "{said:?}");
    }

    #[test]
    fn attributes_that_agree_are_not_named() {
        assert_eq!(said(|_, _| ()), []);
        assert_eq!(
            said(|index, header| {
                header.reconstruction_diameter = Some(2.1);
                header.slice_location = Some(200.0 - index as f64);
                header.spacing_between_slices = Some(-1.05);
            }),
            []
        );
        assert_eq!(said(|_, header| header.slice_location = Some(0.0)), [], "the same for all says nothing");
    }

    #[test]
    fn widths_and_distances_that_differ_are_named() {
        check(
            |_, header| header.reconstruction_diameter = Some(4.0),
            "scale_differs",
            "2 mm wide, by Reconstruction Diameter 4 mm",
        );
        check(
            |index, header| header.slice_location = Some(2.0 * index as f64),
            "scale_differs",
            "1.00 mm apart, by Slice Location 2.00 mm",
        );
        check(
            |_, header| header.spacing_between_slices = Some(0.5),
            "scale_differs",
            "by Spacing Between Slices 0.50 mm",
        );
    }

    #[test]
    fn cropped_and_padded_images_are_no_contradiction() {
        let sized = |columns: u16, rows: u16, spacing: f64| {
            said(|_, header| {
                (header.columns, header.rows) = (columns, rows);
                header.spacing = Some([spacing; 2]);
                header.reconstruction_diameter = Some(400.0);
            })
        };
        assert_eq!(sized(330, 280, 400.0 / 512.0), [], "cropped");
        assert_eq!(sized(600, 600, 0.781), [], "padded");
        assert_eq!(sized(512, 512, 0.781), []);
        // A whole matrix, half as wide as the field of view.
        let [(code, text)] = &sized(256, 256, 0.781)[..] else { panic!("one reservation") };
        assert!(code == "scale_differs" && !text.contains("if "), "{text}");
        assert_eq!(sized(330, 280, 0.6).len(), 1, "no matrix of a scanner fills the field of view");
    }

    #[test]
    fn the_way_of_the_table_past_a_tilted_gantry_is_no_contradiction() {
        let tilted = |index: usize, header: &mut InstanceHeader| {
            header.position = Some([-2.0, -1.5 + 0.5 * index as f64, index as f64]);
            header.slice_location = Some(1.118 * index as f64);
        };
        assert_eq!(said(tilted), []);
    }
}
