//! `write-total`: writes totals as JSON, CSV and a picture.

use crate::json::chart::bars;
use crate::json::{JsonTotal, TotalGroup};
use crate::step::{BuiltIn, Fault, FaultKind, ResponseFile, ResponseFiles, Step, StepOutputs};

fn step() -> Step {
    Step::new("write-total", 2, "Writes totals as JSON, as CSV and as a picture with a bar for each group.")
        .takes::<JsonTotal>("total")
        .gives::<ResponseFiles>("files")
        .runs(|call| {
            let total = call.input::<JsonTotal>("total");
            let png = bars(total).png().map_err(|error| {
                let reason = format!("the picture could not be written: {error}");
                Fault::of(FaultKind::Broken, reason, "Please report this to the authors of flow.")
            })?;
            let files = vec![
                ResponseFile::new("total.json", "application/json", json(total)?),
                ResponseFile::new("total.csv", "text/csv", csv(total)),
                ResponseFile::shared("total.png", "image/png", png),
            ];
            Ok(StepOutputs::one("files", ResponseFiles(files)))
        })
}

inventory::submit! { BuiltIn(step) }

fn json(total: &JsonTotal) -> Result<Vec<u8>, Fault> {
    let TotalGroup { count, sum } = total.all()?;
    let whole = serde_json::json!({ "count": count, "sum": sum, "groups": total.by_name() });
    let mut text = serde_json::to_vec_pretty(&whole).expect("texts and numbers can be written as JSON");
    text.push(b'\n');
    Ok(text)
}

/// The groups as lines of RFC 4180.
fn csv(total: &JsonTotal) -> Vec<u8> {
    let line = |(name, group): (&String, &TotalGroup)| {
        format!("\"{}\",{},{}\r\n", name.replace('"', "\"\""), group.count, group.sum)
    };
    let lines: String = total.by_name().iter().map(line).collect();
    format!("group,count,sum\r\n{lines}").into_bytes()
}
