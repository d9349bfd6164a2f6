//! Slices that are perhaps missing although positions are even, by how far the pictures go from one slice to the next.
//!
//! The farther apart two slices lie, the more the outline of air differs between them. Over how many slices nearby it
//! changes as much as from one slice to the next tells how far these two lie apart, whatever their positions say.

use super::SortedSeries;
use crate::printable::counted;
use crate::step::StepReservation;

/// The number of slices on either side from which the usual changes are taken.
const AROUND: usize = 8;
/// The largest number of slices over which usual changes are taken.
const STEPS: usize = 6;
/// The fewest changes whose median is a usual one.
const USUAL_LEAST: usize = 4;
/// The number of slices from which on a change is named. Two real chests with slices 1 to 5 mm apart, also with noise of
/// 120 HU, have 1.94 at most. Where three slices or more are lost that are 1 to 3 mm apart, it is 2.6 or more.
const STEPS_MOST: f64 = 2.4;
/// Less is lost than is named: 3 mm are 1.5 % of lungs 200 mm long.
const LOST_MM_LEAST: f64 = 3.0;
/// Slices further apart have too few others like them nearby.
const SPACING_MM_MOST: f64 = 5.0;
/// Smaller shares of voxels that differ say nothing.
const SHARE_LEAST: f64 = 0.005;

/// A change from a slice to the next one that is as large as over several slices nearby.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LostSlices {
    /// The index of the slice before the change.
    pub before: usize,
    /// The number of slices over which others change as much.
    pub steps: f64,
}

impl LostSlices {
    /// The places at which slices are perhaps missing, of `depth` slices that are `spacing_mm` apart. `differ` gives the
    /// share of voxels whose air differs between two slices.
    pub fn find(differ: impl Fn(usize, usize) -> f64, depth: usize, spacing_mm: f64) -> Vec<LostSlices> {
        if spacing_mm > SPACING_MM_MOST {
            return Vec::new();
        }
        let changes: Vec<Vec<f64>> =
            (1..=STEPS).map(|steps| (steps..depth).map(|z| differ(z - steps, z)).collect()).collect();
        let is_lost =
            |one: &LostSlices| one.steps > STEPS_MOST && (one.steps - 1.0) * spacing_mm >= LOST_MM_LEAST;
        let all = (1..depth).filter(|z| changes[0][z - 1] >= SHARE_LEAST);
        let all = all.map(|z| LostSlices { before: z - 1, steps: steps_at(&changes, z - 1, depth) });
        all.filter(is_lost).collect()
    }

    /// A reservation for the places at which slices are perhaps missing. `label` names the series.
    pub fn reservation(lost: &[LostSlices], series: &SortedSeries, label: &str) -> Option<StepReservation> {
        let most = lost.iter().max_by(|one, other| one.steps.total_cmp(&other.steps))?;
        let z = |index: usize| series.slices.get(index).and_then(|slice| slice.position).map(|at| at[2]);
        let place = match (z(most.before), z(most.before + 1)) {
            (Some(before), Some(behind)) => format!("z = {before:.1} mm and {behind:.1} mm"),
            _ => format!("the slices {} and {}", most.before + 1, most.before + 2),
        };
        let more = match lost.len() {
            1 => String::new(),
            count => format!(" (and so at {})", counted(count - 1, "further place")),
        };
        let text = format!(
            "between {place} the pictures of {label} change as much as over {:.0} mm or more nearby, and the slices are \
             {:.1} mm apart by their positions{more}: if slices were lost there and positions written anew, volumes are \
             too small, so compare the length of the body in the pictures with the patient",
            most.steps * series.slice_spacing,
            series.slice_spacing
        );
        Some(StepReservation { code: "lost_slices".to_owned(), text })
    }
}

/// The number of slices over which pictures nearby change as much as from a slice to the next one. `changes` holds those
/// over one slice, over two and so on, by the index of their first slice. It is 0 where nothing is usual.
fn steps_at(changes: &[Vec<f64>], before: usize, depth: usize) -> f64 {
    let change = changes[0][before];
    let first = (before + 1).saturating_sub(AROUND);
    let end = depth.min(before + 1 + AROUND);
    let mut usual: Vec<f64> = Vec::new();
    for (over, steps) in changes.iter().zip(1..) {
        let ranges =
            [first..(before + 1).saturating_sub(steps).max(first), before + 1..end.saturating_sub(steps)];
        let mut around: Vec<f64> =
            ranges.into_iter().flat_map(|range| over.get(range).unwrap_or_default()).copied().collect();
        if around.len() < USUAL_LEAST {
            break;
        }
        around.sort_unstable_by(f64::total_cmp);
        let fewer_steps = usual.last().copied().unwrap_or_default();
        usual.push(around[around.len() / 2].max(fewer_steps));
    }
    let [least, .., most] = usual[..] else { return 0.0 };
    match usual.iter().position(|usual| *usual >= change) {
        Some(index) => {
            let below = if index == 0 { 0.0 } else { usual[index - 1] };
            index as f64 + (change - below) / (usual[index] - below)
        }
        None => {
            let step = ((most - least) / (usual.len() - 1) as f64).max(f64::MIN_POSITIVE);
            // Farther than that, changes are taken to grow as they did, up to twice as many steps.
            (usual.len() as f64 + (change - most) / step).min(2.0 * usual.len() as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    const NONE: [usize; 0] = [];

    /// Slices that are some mm apart in a body of which the air changes by a tenth of a percent over 1 mm, and by noise.
    fn found(places: &[f64], spacing_mm: f64) -> Vec<usize> {
        let differ = |one: usize, other: usize| {
            0.002 + 0.004 * (places[one] - places[other]).abs() + 0.0003 * ((one * 7 + other * 3) % 5) as f64
        };
        LostSlices::find(differ, places.len(), spacing_mm).iter().map(|lost| lost.before).collect()
    }

    #[test]
    fn a_block_of_lost_slices_is_found_though_positions_are_even() {
        let without = |lost: f64, spacing: f64| -> Vec<f64> {
            (0..40).map(|z| z as f64 * spacing + if z < 20 { 0.0 } else { lost }).collect()
        };
        assert_eq!(found(&without(0.0, 1.0), 1.0), NONE);
        assert_eq!(found(&without(1.0, 1.0), 1.0), NONE, "less than is named");
        for mm in [4.0, 6.0, 10.0] {
            assert_eq!(found(&without(mm, 1.0), 1.0), [19], "{mm} mm");
        }
        assert_eq!(found(&without(6.0, 2.0), 2.0), [19]);
        assert_eq!(found(&without(20.0, 8.0), 8.0), NONE, "too few others nearby");
        assert_eq!(found(&without(6.0, 1.0)[..21], 1.0), [19], "at an end, one side tells");
        assert_eq!(found(&[0.0, 1.0, 9.0], 1.0), NONE, "nothing is usual");
    }

    #[test]
    fn the_place_and_the_length_are_named() {
        let series = SortedSeries {
            slices: (0..40).map(sample::header).collect(),
            slice_spacing: 1.0,
            shifts: Vec::new(),
            remarks: Vec::new(),
            reservations: Vec::new(),
        };
        let lost = [LostSlices { before: 19, steps: 6.9 }, LostSlices { before: 30, steps: 3.1 }];
        let said = LostSlices::reservation(&lost, &series, "series 3 (Thorax)").expect("it is said");
        assert_eq!(said.code, "lost_slices");
        assert!(
            said.text.starts_with(
                "between z = 19.0 mm and 20.0 mm the pictures of series 3 (Thorax) change as much as over 7 mm or more \
                 nearby, and the slices are 1.0 mm apart by their positions (and so at 1 further place)"
            ),
            "{}",
            said.text
        );
        assert_eq!(LostSlices::reservation(&[], &series, ""), None);
    }
}
