//! `read-header`: reads an instance's attributes, without its pixels.

use crate::imaging::InstanceHeader;
use crate::step::{BuiltIn, Fault, Item, Step, StepOutputs};

fn step() -> Step {
    Step::new("read-header", 7, "Reads what one DICOM instance says of itself, without its pixels.")
        .takes::<Item>("file")
        .gives::<InstanceHeader>("header")
        .runs(|call| {
            let item = call.input::<Item>("file");
            let path = item.file().map_err(|error| {
                Fault::new(error.to_string(), "Give the DICOM instances of a request as files.")
            })?;
            let header = InstanceHeader::read(&item.name, path)?;
            Ok(StepOutputs::one("header", InstanceHeader { item: Some(item.digest), ..header }))
        })
}

inventory::submit! { BuiltIn(step) }
