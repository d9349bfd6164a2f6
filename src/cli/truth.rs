//! How measured results compare with what is true of a synthetic study.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::imaging::LungRegion;
use crate::imaging::phantom::StudyTruth;
use crate::json::TotalGroup;
use crate::printable::PrintableLines;
use crate::tally::TallyTruth;

use super::output::print;

/// The part of `results.json` that has a truth.
#[derive(Deserialize)]
struct MeasuredResults {
    regions: Vec<MeasuredRegion>,
}

#[derive(Deserialize)]
struct MeasuredRegion {
    lung: LungRegion,
    volume_ml: f64,
    mean_hu: f64,
    below: Vec<MeasuredBelow>,
}

#[derive(Deserialize)]
struct MeasuredBelow {
    threshold_hu: f64,
    percent: f64,
}

/// Prints what was measured beside what is true; nothing where there are no results.
pub fn compare(truth: &StudyTruth, place: &Path) {
    let results = fs::read(place.join("results.json")).ok();
    let Some(results) = results.and_then(|bytes| serde_json::from_slice::<MeasuredResults>(&bytes).ok())
    else {
        return;
    };
    let head = format!("{:22}{:>12}{:>12}{:>12}", "", "measured", "true", "difference");
    let mut lines = PrintableLines::of("").line(head);
    for TruthRow { name, unit, measured, truth } in rows(&results, truth) {
        let difference = measured - truth;
        lines.push(format_args!(
            "{name:22}{measured:>9.2} {unit:2}{truth:>9.2} {unit:2}{difference:>+9.2} {unit}"
        ));
    }
    let pictures = place.join("pictures");
    let last = format!("The results lie in {}; begin with {}", place.display(), pictures.display());
    // A reader that has gone away does not end the work.
    let _ = print(&lines.line("").line(last));
}

/// Prints the total of sample jobs beside the true one; nothing where there is no total.
pub fn compare_totals(truth: &TallyTruth, place: &Path) {
    let Ok(total) = TotalGroup::read(&place.join("total.json")) else { return };
    let Ok(truth) = truth.all() else { return };
    let head = format!("{:8}{:>16}{:>16}{:>16}", "", "total", "true", "difference");
    let row =
        |name: &str, total: i64, truth: i64| format!("{name:8}{total:>16}{truth:>16}{:>+16}", total - truth);
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let lines = PrintableLines::of("")
        .line(head)
        .line(row("items", signed(total.count), signed(truth.count)))
        .line(row("sum", total.sum, truth.sum))
        .line("")
        .line(format!("The results lie in {}", place.display()));
    let _ = print(&lines);
}

struct TruthRow {
    name: &'static str,
    unit: &'static str,
    measured: f64,
    truth: f64,
}

fn rows(results: &MeasuredResults, truth: &StudyTruth) -> Vec<TruthRow> {
    let region = |lung| results.regions.iter().find(|region| region.lung == lung);
    let row = |name, unit, measured: Option<f64>, truth| {
        measured.map(|measured| TruthRow { name, unit, measured, truth })
    };
    let volume = |lung| region(lung).map(|region| region.volume_ml);
    let both = region(LungRegion::Both);
    let laa = both.and_then(|both| both.below.iter().find(|below| below.threshold_hu == -950.0));
    let rows = [
        row("right lung", "mL", volume(LungRegion::Right), truth.right_ml),
        row("left lung", "mL", volume(LungRegion::Left), truth.left_ml),
        row("mean density", "HU", both.map(|both| both.mean_hu), truth.mean_hu),
        row("below -950 HU", "%", laa.map(|below| below.percent), truth.laa_950_percent),
    ];
    rows.into_iter().flatten().collect()
}
