//! `draw-pictures`: draws the pictures that a radiologist checks the numbers with.

use crate::imaging::drawing::{PageNotes, ViewSettings, draw_histogram, draw_views, isolated};
use crate::imaging::{LungDensities, Lungs, Pictures, SortedSeries, StudyAttributes, Volume};
use crate::step::{BuiltIn, Call, Parameter, Request, Step, StepOutputs, StepReservations};

/// Draws axial, coronal and sagittal views with the lungs outlined, the lungs in projection and the
/// histogram, in this order.
fn draw_pictures(call: &Call) -> Pictures {
    let look = ViewSettings {
        window_centre_hu: call.number("window_centre"),
        window_width_hu: call.number("window_width"),
        low_density_hu: call.number("low_density"),
    };
    let (volume, lungs) = (call.input::<Volume>("volume"), call.input::<Lungs>("lungs"));
    let (densities, notes) = (call.input::<LungDensities>("densities"), notes(call));
    let (mut pictures, histogram) = rayon::join(
        || draw_views(volume, lungs, &look, &notes),
        || draw_histogram(densities, look.low_density_hu, &notes),
    );
    pictures.push(histogram);
    Pictures(pictures)
}

/// The series, the date of its study and the program; and the reservations by their words, each once.
fn notes(call: &Call) -> PageNotes {
    let reservations = call.optional::<StepReservations>("reservations");
    let reservations = reservations.unwrap_or(&call.input::<Lungs>("lungs").reservations);
    let mut words: Vec<String> = Vec::new();
    for reservation in &reservations.0 {
        let word = reservation.code.replace('_', " ");
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let series = call.optional::<SortedSeries>("series").and_then(series_text);
    let date =
        call.optional::<Request>("request").map(|request| StudyAttributes::of(request).study_date_text());
    let date = date.filter(|date| !date.is_empty());
    let parts =
        series.into_iter().chain(date).chain([concat!("flow ", env!("CARGO_PKG_VERSION")).to_owned()]);
    PageNotes { footer: parts.collect::<Vec<String>>().join(" · "), reservations: words }
}

/// The series by its label, and how many others have slices of the same stack.
fn series_text(series: &SortedSeries) -> Option<String> {
    let text = format!("{} {}", isolated(&series.slices.first()?.series_label()), series.and_others());
    Some(text.trim_end().to_owned())
}

fn step() -> Step {
    let number = Parameter::number;
    Step::new("draw-pictures", 4, "Draws views of the lungs and the histogram of their densities.")
        .takes::<Volume>("volume")
        .takes::<Lungs>("lungs")
        .takes::<LungDensities>("densities")
        .takes_optional::<Request>("request")
        .takes_optional::<SortedSeries>("series")
        .takes_optional::<StepReservations>("reservations")
        .gives::<Pictures>("pictures")
        .recomputed()
        .parameter(number("window_centre", -600.0, -1000.0, 3000.0, "HU").about("middle of the grey scale"))
        .parameter(number("window_width", 1500.0, 1.0, 10000.0, "HU").about("from black to white"))
        .parameter(number("low_density", -950.0, -1024.0, 0.0, "HU").about("lung below this is tinted"))
        .runs(|call| Ok(StepOutputs::one("pictures", draw_pictures(call))))
}

inventory::submit! { BuiltIn(step) }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    #[test]
    fn a_picture_says_that_its_slices_are_of_several_series() {
        let slices = vec![sample::header(0), sample::header(1)];
        let mut series = SortedSeries {
            slices,
            slice_spacing: 1.0,
            shifts: vec![],
            remarks: vec![],
            reservations: vec![],
        };
        let label = isolated(&series.slices[0].series_label());
        assert_eq!(series_text(&series), Some(label.clone()));
        series.slices[1].series_instance_uid = "1.2.3.9".to_owned();
        assert_eq!(series_text(&series), Some(format!("{label} and 1 other of the same acquisition")));
        series.slices.clear();
        assert_eq!(series_text(&series), None);
    }
}
