//! A program with a step of its own: the bone in a chest CT, in mL.
//!
//! `cargo run --release --example own_step -- run examples/own-step.yaml`
//!
//! The whole command line of flow comes with it, and its dataflow files may name the new step.

use std::process::ExitCode;

use flow::imaging::Volume;
use flow::step::{Fault, Parameter, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable};
use serde_json::json;

fn main() -> ExitCode {
    flow::cli::main(&StepTable::built_in().with(step()))
}

/// What the step takes and gives, so that a dataflow file is checked before anything runs.
fn step() -> Step {
    Step::new("measure-bone", 1, "Measures the volume of bone.")
        .takes::<Volume>("volume")
        .parameter(
            Parameter::number("above_hu", 300.0, 100.0, 2000.0, "HU").about("Bone is denser than this."),
        )
        .gives::<ResponseFiles>("files")
        .runs(|call| {
            Ok(StepOutputs::one("files", measure_bone(call.input("volume"), call.number("above_hu"))?))
        })
}

/// # Errors
/// If nothing is as dense as bone: then it is not a body, or not in Hounsfield units.
fn measure_bone(volume: &Volume, above_hu: f64) -> Result<ResponseFiles, Fault> {
    let voxels = volume.voxels.iter().filter(|hu| f64::from(**hu) > above_hu).count();
    if voxels == 0 {
        return Err(Fault::new(
            format!("no voxel is denser than {above_hu} HU"),
            "Check that the series shows a chest and is in Hounsfield units.",
        ));
    }
    let volume_ml = voxels as f64 * volume.voxel_ml();
    let text = format!("{:#}\n", json!({ "above_hu": above_hu, "volume_ml": volume_ml }));
    Ok(ResponseFiles(vec![ResponseFile::new("bone.json", "application/json", text.into_bytes())]))
}
