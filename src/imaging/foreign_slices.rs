//! Slices that do not belong where they lie: another slice's picture, another patient's, or half of a picture.
//!
//! Where several slices of another patient, breath or phase follow each other, the outline of air, or the amount of what
//! is as dense as bone and blood with a contrast agent, changes at once at the first one and again behind the last.
//!
//! Between a slice and the next one the outline of air changes a little, between it and the one after that more. A slice
//! that differs from both of its neighbours more than they differ from each other is foreign. Slices with the very
//! pixels of another one were copied: noise is never the same twice. Where two tube voltages, doses or kernels
//! alternate, the amount of what is dense goes up and down from each slice to the next one.

use std::collections::HashMap;

use rayon::prelude::*;

use super::bits::some_below;
use super::blank::SliceContent;
use super::lost_slices::LostSlices;
use super::{InstanceHeader, SortedSeries, Volume};
use crate::printable::counted;
use crate::step::{StepReservation, StepReservations};

/// Air and lung are below this CT number.
const AIR_HU: i16 = -400;
/// Rows that are compared: one of so many.
const ROWS: usize = 4;
/// How much more a slice may differ from its neighbours than they from each other. Slices 2 to 10 mm apart of real
/// chests have at most 0.67; changed and exchanged ones over 1.5.
const DIFFERENCE_MOST: f64 = 1.4;
/// Smaller shares of voxels that differ say nothing.
const SHARE_LEAST: f64 = 0.001;
/// The share of voxels by which a foreign slice differs at least.
const FOREIGN_SHARE_LEAST: f64 = 0.005;
/// The number of slices before and behind a change with which it is compared.
const AROUND: usize = 3;
/// Changes at once, of the share of voxels whose air differs: how many times the usual change nearby, and how much at
/// least. Between slices 1 to 10 mm apart of three chests they are at most 2.5 times, to slices 10 mm away 3.5 times, to
/// another patient's 27 times.
const AIR_JUMP: SliceJump = SliceJump { times: 3.0, share_least: 0.02, usual_least: 0.002 };
/// The same for the share of voxels that are dense: at most 5.2 times in the three chests, with a contrast agent on one
/// side 8 times.
const DENSE_JUMP: SliceJump = SliceJump { times: 6.0, share_least: 0.012, usual_least: 0.002 };
/// The part of a change that the next one before or behind has at most, in the same direction: with more, it is the end of
/// an organ that spreads over several slices. The flat floor of a heart with a contrast agent has 0.56 in slices of 1.5 mm;
/// where another phase begins, the next changes are the usual ones.
const RAMP_PART_MOST: f64 = 0.4;
/// Bone, and blood with a contrast agent.
const DENSE_HU: i16 = 101;
/// The share of the changes of direction in the dense share that alternate from slice to slice, weighted by their size,
/// their least mean size as a part of the dense share, and the fewest that tell. Two real chests with slices 1 to 10 mm
/// apart have shares up to 0.22; with 8 HU more in every second slice it is 1.00.
const ALTERNATING_LEAST: f64 = 0.75;
const ALTERNATING_PART_LEAST: f64 = 0.02;
const ALTERNATING_SLICES_LEAST: usize = 16;
/// How much larger every other change from slice to slice is, where they alternate, by the medians. A real chest with
/// slices 1 to 10 mm apart has 1.03 at most, also with noise of 120 HU; with neighbours exchanged in pairs 2.4 to 2.6.
const STEPS_ALTERNATE_LEAST: f64 = 1.7;
/// The most places that a message names.
const NAMED_MOST: usize = 3;

/// Reservations for slices of the body that do not belong between their neighbours, or repeat the one before.
pub fn foreign_slices(series: &SortedSeries, volume: &Volume) -> Vec<StepReservation> {
    let [columns, rows, depth] = volume.size;
    let slice = |z: usize| &volume.voxels[z * columns * rows..][..columns * rows];
    let air: Vec<Vec<u64>> = (0..depth).into_par_iter().map(|z| air_bits(slice(z), columns)).collect();
    let compared = (columns * rows.div_ceil(ROWS)) as f64;
    let differ = |one: usize, other: usize| {
        let words = air[one].iter().zip(&air[other]);
        words.map(|(one, other)| u64::from((one ^ other).count_ones())).sum::<u64>() as f64 / compared
    };
    let next: Vec<f64> = (1..depth).map(|z| differ(z - 1, z)).collect();
    let is_foreign = |z: &usize| {
        let least = next[z - 1].min(next[*z]);
        least >= FOREIGN_SHARE_LEAST && least > DIFFERENCE_MOST * differ(z - 1, z + 1).max(SHARE_LEAST)
    };
    let foreign: Vec<usize> = (1..depth.saturating_sub(1)).filter(is_foreign).collect();
    let alike = first_of_alike(&air);
    let is_copy = |z: &usize| {
        let first = alike[*z];
        first != *z
            && (slice(z - 1) == slice(*z) || !foreign.contains(&first) && slice(first) == slice(*z))
            && SliceContent::of(slice(*z)) == SliceContent::Body
    };
    let copies: Vec<usize> = (1..depth).into_par_iter().filter(is_copy).collect();
    let dense: Vec<f64> = (0..depth).into_par_iter().map(|z| dense_share(slice(z), columns)).collect();
    let alternation = alternation(series, &dense);
    let steps: Vec<f64> = dense.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let dense: Vec<f64> = steps.iter().map(|step| step.abs()).collect();
    let is_dense_jump = |index: usize| DENSE_JUMP.is_at(&dense, index) && !is_ramp(&steps, index);
    let is_usable = |z: usize| {
        !foreign.contains(&z) && !copies.contains(&z) && SliceContent::of(slice(z)) == SliceContent::Body
    };
    let are_usable = |before: usize| is_usable(before) && is_usable(before + 1);
    let is_jump = |z: &usize| (AIR_JUMP.is_at(&next, z - 1) || is_dense_jump(z - 1)) && are_usable(z - 1);
    let jumps: Vec<usize> = (1..depth).filter(is_jump).collect();
    let mut lost = LostSlices::find(differ, depth, series.slice_spacing);
    lost.retain(|one| !jumps.contains(&(one.before + 1)) && are_usable(one.before));
    let steps_alternate = copies.is_empty() && do_steps_alternate(&next);
    OddSlices { foreign, copies, jumps, lost, steps_alternate }.reservations(series, alternation)
}

/// Slices that do not belong where they lie, by their indexes.
struct OddSlices {
    foreign: Vec<usize>,
    copies: Vec<usize>,
    /// The slices behind changes at once.
    jumps: Vec<usize>,
    lost: Vec<LostSlices>,
    steps_alternate: bool,
}

impl OddSlices {
    fn reservations(
        &self,
        series: &SortedSeries,
        alternation: Option<StepReservation>,
    ) -> Vec<StepReservation> {
        let OddSlices { foreign, copies, jumps, lost, steps_alternate } = self;
        let mut reservations = StepReservations::default();
        let label = series.slices.first().map_or(String::new(), InstanceHeader::series_label);
        if !foreign.is_empty() {
            let [verb, they] = if foreign.len() == 1 {
                ["does", "it shows another place or another patient, or was"]
            } else {
                ["do", "they show another place or another patient, or were"]
            };
            let text = format!(
                "{} of {label}, {}, {verb} not fit between the neighbours: if {they} \
                 damaged, volumes and densities are wrong there",
                counted(foreign.len(), "slice"),
                places(series, foreign)
            );
            reservations.say("foreign_slices", text);
        }
        if !jumps.is_empty() {
            let text = format!(
                "the pictures of {label} change at once {}, much more than between the slices before and behind: if slices \
                 are missing there, or those of another patient, breath or phase follow, volumes and densities are wrong",
                places(series, jumps)
            );
            reservations.say("foreign_slices", text);
        }
        reservations.0.extend(LostSlices::reservation(lost, series, &label));
        reservations.0.extend(alternation);
        if *steps_alternate {
            let text = format!(
                "from slice to slice of {label} the pictures change a little and much in turns: if neighbours were exchanged, or \
                 two scans lie between each other, volumes and densities are wrong, so compare the positions with the pictures"
            );
            reservations.say("foreign_slices", text);
        }
        if !copies.is_empty() {
            let verb = if copies.len() == 1 { "has" } else { "have" };
            let text = format!(
                "{} of {label}, {}, {verb} the very pixels of another one: what lies there was not imaged, was lost on the way, \
                 or is counted twice, so volumes and densities are wrong there",
                counted(copies.len(), "slice"),
                places(series, copies)
            );
            reservations.say("repeated_slices", text);
        }
        reservations.0
    }
}

/// A reservation for slices of two kinds in turns, by the shares of what is dense in them.
fn alternation(series: &SortedSeries, dense: &[f64]) -> Option<StepReservation> {
    let label = series.slices.first().map_or(String::new(), InstanceHeader::series_label);
    let text = format!(
        "what is dense goes up and down from each slice of {label} to the next: if slices of two tube voltages, doses or \
         reconstructions alternate, densities are those of a mixture, so send each in a series of its own"
    );
    do_alternate(dense).then(|| StepReservation { code: "alternating".to_owned(), text })
}

/// Whether shares of slices in order go up and down in turns.
fn do_alternate(shares: &[f64]) -> bool {
    let turns: Vec<f64> =
        shares.windows(3).map(|three| three[1] - f64::midpoint(three[0], three[2])).collect();
    let size = turns.iter().map(|turn| turn.abs()).sum::<f64>();
    let pairs = turns.chunks_exact(2).map(|pair| pair[0] - pair[1]);
    let part = size / shares.iter().sum::<f64>();
    turns.len() >= ALTERNATING_SLICES_LEAST
        && part >= ALTERNATING_PART_LEAST
        && pairs.sum::<f64>().abs() >= ALTERNATING_LEAST * size
}

/// For each slice, the first one with the same outline of air.
fn first_of_alike(air: &[Vec<u64>]) -> Vec<usize> {
    let mut firsts = HashMap::new();
    air.iter().enumerate().map(|(z, bits)| *firsts.entry(bits).or_insert(z)).collect()
}

/// Whether the changes from slice to slice are small and large in turns.
fn do_steps_alternate(changes: &[f64]) -> bool {
    let median = |first: usize| {
        let mut every_other: Vec<f64> = changes.iter().skip(first).step_by(2).copied().collect();
        every_other.sort_unstable_by(f64::total_cmp);
        every_other.get(every_other.len() / 2).copied().unwrap_or_default()
    };
    let [even, odd] = [median(0), median(1)];
    let is_usual = even.max(odd) > SHARE_LEAST;
    changes.len() >= ALTERNATING_SLICES_LEAST
        && is_usual
        && even.max(odd) > STEPS_ALTERNATE_LEAST * even.min(odd)
}

/// A change from a slice to the next one that is much larger than those nearby.
struct SliceJump {
    times: f64,
    /// The least change, as a share of the voxels.
    share_least: f64,
    /// Smaller usual changes count as this one.
    usual_least: f64,
}

impl SliceJump {
    /// Whether the change of an index is a jump. The median of those around it is not moved by another jump.
    fn is_at(&self, changes: &[f64], index: usize) -> bool {
        if changes[index] < self.share_least {
            return false;
        }
        let last = changes.len().min(index + 1 + AROUND);
        let mut around = [&changes[index.saturating_sub(AROUND)..index], &changes[index + 1..last]].concat();
        around.sort_unstable_by(f64::total_cmp);
        let usual = around.get(around.len() / 2).filter(|_| around.len() > AROUND);
        usual.is_some_and(|usual| changes[index] > self.times * usual.max(self.usual_least))
    }
}

/// Whether a change goes on in the slices before or behind.
fn is_ramp(steps: &[f64], index: usize) -> bool {
    let near = [index.checked_sub(1), Some(index + 1)].into_iter().flatten();
    near.filter_map(|near| steps.get(near)).any(|near| near / steps[index] > RAMP_PART_MOST)
}

/// The share of the voxels in some rows that are dense.
fn dense_share(slice: &[i16], columns: usize) -> f64 {
    let rows = slice.chunks_exact(columns).step_by(ROWS);
    let (voxels, below) =
        rows.flat_map(|row| row.chunks(u64::BITS as usize)).fold((0, 0), |(all, below), voxels| {
            (all + voxels.len(), below + some_below(voxels, DENSE_HU).count_ones() as usize)
        });
    1.0 - below as f64 / voxels.max(1) as f64
}

/// The places of some slices in words.
fn places(series: &SortedSeries, slices: &[usize]) -> String {
    let z = |index: &usize| series.slices.get(*index).and_then(|slice| slice.position).map(|at| at[2]);
    let named = slices.iter().take(NAMED_MOST).map(|index| match z(index) {
        Some(z) => format!("{z:.1} mm"),
        None => format!("slice {}", index + 1),
    });
    let named: Vec<String> = named.collect();
    let more = if slices.len() > NAMED_MOST { " and further ones" } else { "" };
    format!("at z = {}{more}", named.join(", "))
}

/// Whether the voxels of some rows are air, a bit each.
fn air_bits(slice: &[i16], columns: usize) -> Vec<u64> {
    let rows = slice.chunks_exact(columns).step_by(ROWS);
    let words = rows.flat_map(|row| row.chunks(u64::BITS as usize));
    words.map(|voxels| some_below(voxels, AIR_HU)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    #[test]
    fn what_goes_up_and_down_from_slice_to_slice_alternates() {
        let shares = |odd: f64| -> Vec<f64> {
            let share = |z: usize| 0.05 + 0.01 * (z as f64 / 9.0).sin() + odd * (z % 2) as f64;
            let noise = |z: usize| 0.002 * ((z * 7919 % 41) as f64 / 41.0 - 0.5);
            (0..60).map(|z| share(z) + noise(z)).collect()
        };
        assert!(do_alternate(&shares(0.004)) && do_alternate(&shares(-0.01)));
        assert!(!do_alternate(&shares(0.0)) && !do_alternate(&shares(0.004)[..12]));
        assert!(!do_alternate(&[0.0; 60]));
    }

    const SIZE: [usize; 3] = [64, 64, 24];

    /// The codes and texts for a body with a lung that changes from slice to slice, and noise, after a change.
    fn said(change: impl Fn(&mut Vec<Vec<i16>>)) -> Vec<(String, String)> {
        let hu = |z: usize, index: usize| {
            let [x, y] = [index % 64, index / 64].map(|at| at as f64 - 31.5);
            let noise = (index * 7919 + z * 104_729) % 41;
            let material = match () {
                () if x.hypot(y) > 28.0 => -1000,
                () if (x - 0.31 * z as f64).hypot(y) < 8.0 + 0.53 * z as f64 => -850,
                () => 40,
            };
            material + noise as i16 - 20
        };
        let mut slices: Vec<Vec<i16>> =
            (0..SIZE[2]).map(|z| (0..64 * 64).map(|index| hu(z, index)).collect()).collect();
        change(&mut slices);
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let voxels = slices.concat().into();
        let volume = Volume { voxels, size: SIZE, spacing: [4.0; 3], origin: [0.0; 3], axes };
        let series = SortedSeries {
            slices: (0..SIZE[2]).map(sample::header).collect(),
            slice_spacing: 1.0,
            shifts: Vec::new(),
            remarks: Vec::new(),
            reservations: Vec::new(),
        };
        foreign_slices(&series, &volume).into_iter().map(|one| (one.code, one.text)).collect()
    }

    fn check(change: impl Fn(&mut Vec<Vec<i16>>), code: &str, words: &str) {
        let said = said(change);
        let [(one, text)] = &said[..] else { panic!("one reservation, {code}: {said:?}") };
        assert!(one == code && text.contains(words), "{said:?}");
        assert!(code.len() <= 16, "the code fits a coded concept");
    }

    #[test]
    fn slices_of_one_body_belong_together() {
        assert_eq!(said(|_| ()), []);
        let blank = |slices: &mut Vec<Vec<i16>>| slices[..3].iter_mut().for_each(|slice| slice.fill(-1000));
        assert_eq!(said(blank), [], "nothing is no copy");
    }

    #[test]
    fn a_slice_that_shows_something_else_is_named() {
        check(
            |slices| slices[9] = slices[20].clone(),
            "foreign_slices",
            "1 slice of series 3 (Thorax), at z = 9.0 mm",
        );
        check(|slices| slices.swap(5, 20), "foreign_slices", "at z = 5.0 mm, 20.0 mm");
        check(|slices| slices[9][32 * 64..].fill(-1000), "foreign_slices", "at z = 9.0 mm");
        check(
            |slices| slices[9].iter_mut().for_each(|hu| *hu = (*hu).max(40)),
            "foreign_slices",
            "at z = 9.0",
        );
    }

    #[test]
    fn a_block_of_foreign_slices_is_named_where_it_begins_and_ends() {
        let mirrored = |slices: &mut Vec<Vec<i16>>| {
            slices[9..14].iter_mut().flat_map(|slice| slice.chunks_exact_mut(64)).for_each(|row| {
                row.reverse();
                row.rotate_left(16);
            });
        };
        check(mirrored, "foreign_slices", "change at once at z = 9.0 mm, 14.0 mm, much more");
        let upper = |slices: &mut Vec<Vec<i16>>| {
            slices[12..]
                .iter_mut()
                .flat_map(|slice| slice.chunks_exact_mut(64))
                .for_each(|row| row.rotate_left(9));
        };
        check(upper, "foreign_slices", "at z = 12.0 mm, much more");
        let contrast = |slices: &mut Vec<Vec<i16>>| {
            let vessels = slices[8..16].iter_mut().flat_map(|slice| &mut slice[40 * 64..50 * 64]);
            vessels.filter(|hu| **hu > 0).for_each(|hu| *hu += 200);
        };
        check(contrast, "foreign_slices", "at z = 8.0 mm, 16.0 mm, much more");
    }

    #[test]
    fn the_floor_of_a_heart_with_a_contrast_agent_is_no_foreign_slice() {
        let heart = |rows: [usize; 3]| {
            said(|slices: &mut Vec<Vec<i16>>| {
                let rows = rows.into_iter().chain(std::iter::repeat(10));
                for (slice, rows) in slices[8..].iter_mut().zip(rows) {
                    let blood = &mut slice[40 * 64..(40 + rows) * 64];
                    blood.iter_mut().filter(|hu| **hu > 0).for_each(|hu| *hu += 200);
                }
            })
        };
        assert_eq!(heart([1, 7, 10]), [], "over three slices");
        let at_once = heart([10; 3]);
        assert!(at_once.iter().any(|(_, text)| text.contains("at once at z = 8.0 mm")), "{at_once:?}");
    }

    #[test]
    fn neighbours_exchanged_in_pairs_are_named() {
        let exchanged =
            |slices: &mut Vec<Vec<i16>>| slices.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        let said = said(exchanged);
        assert!(said.iter().any(|(_, text)| text.contains("a little and much in turns")), "{said:?}");
    }

    #[test]
    fn a_block_that_is_there_twice_is_named() {
        let twice = |slices: &mut Vec<Vec<i16>>| {
            let block = slices[6..10].to_vec();
            slices.splice(10..14, block);
        };
        let said = said(twice);
        let (_, text) = said.iter().find(|(code, _)| code == "repeated_slices").expect("it is said");
        assert!(
            text.starts_with("4 slices of series 3 (Thorax), at z = 10.0 mm, 11.0 mm, 12.0 mm and"),
            "{text}"
        );
    }

    #[test]
    fn a_copy_is_named_where_all_slices_have_the_same_outline() {
        let alike = |slices: &mut Vec<Vec<i16>>| {
            let tissue = slices[7].iter().position(|hu| (0..100).contains(hu)).expect("there is tissue");
            for (z, hu) in (0..slices.len()).zip(1..) {
                slices[z] = slices[7].clone();
                slices[z][tissue] = hu;
            }
            slices[12] = slices[11].clone();
        };
        let said = said(alike);
        let (_, text) = said.iter().find(|(code, _)| code == "repeated_slices").expect("it is said");
        assert!(text.starts_with("1 slice of series 3 (Thorax), at z = 12.0 mm,"), "{text}");
        assert!(!said.iter().any(|(_, text)| text.contains("in turns")), "{said:?}");
    }

    #[test]
    fn copies_of_a_slice_are_named() {
        let copied = |slices: &mut Vec<Vec<i16>>| (8..14).for_each(|z| slices[z] = slices[7].clone());
        let said = said(copied);
        let (_, text) = said.iter().find(|(code, _)| code == "repeated_slices").expect("it is said");
        assert!(
            text.starts_with("6 slices of series 3 (Thorax), at z = 8.0 mm, 9.0 mm, 10.0 mm and further"),
            "{text}"
        );
    }
}
