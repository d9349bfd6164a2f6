//! `draw-pictures`: draws the pictures that a radiologist checks the numbers with.

use crate::imaging::drawing::{ViewSettings, draw_histogram, draw_views};
use crate::imaging::{LungDensities, Lungs, Pictures, Volume};
use crate::step::{BuiltIn, Parameter, Step, StepOutputs};

/// Axial, coronal and sagittal views with the lungs outlined, the lungs in projection and the
/// histogram, in this order.
pub fn draw_pictures(
    volume: &Volume,
    lungs: &Lungs,
    densities: &LungDensities,
    look: &ViewSettings,
) -> Pictures {
    let (mut pictures, histogram) =
        rayon::join(|| draw_views(volume, lungs, look), || draw_histogram(densities, look.low_density_hu));
    pictures.push(histogram);
    Pictures(pictures)
}

fn step() -> Step {
    let number = Parameter::number;
    Step::new("draw-pictures", 1, "Draws views of the lungs and the histogram of their densities.")
        .takes::<Volume>("volume")
        .takes::<Lungs>("lungs")
        .takes::<LungDensities>("densities")
        .gives::<Pictures>("pictures")
        .parameter(number("window_centre", -600.0, -1000.0, 3000.0, "HU").about("middle of the grey scale"))
        .parameter(number("window_width", 1500.0, 1.0, 10000.0, "HU").about("from black to white"))
        .parameter(number("low_density", -950.0, -1024.0, 0.0, "HU").about("lung below this is tinted"))
        .runs(|call| {
            let look = ViewSettings {
                window_centre_hu: call.number("window_centre"),
                window_width_hu: call.number("window_width"),
                low_density_hu: call.number("low_density"),
            };
            let (volume, lungs) = (call.input("volume"), call.input("lungs"));
            let pictures = draw_pictures(volume, lungs, call.input("densities"), &look);
            Ok(StepOutputs::one("pictures", pictures))
        })
}

inventory::submit! { BuiltIn(step) }
