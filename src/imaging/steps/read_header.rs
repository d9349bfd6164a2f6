//! `read-header`: reads an instance's attributes, without its pixels.

use crate::imaging::Header;
use crate::step::{BuiltIn, Fault, Item, Outputs, Step};

fn step() -> Step {
    Step::new("read-header", 2, "Reads what one DICOM instance says of itself, without its pixels.")
        .takes::<Item>("file")
        .gives::<Header>("header")
        .runs(|call| {
            let item = call.input::<Item>("file");
            let path = item.file().map_err(|error| {
                Fault::new(error.to_string(), "Give the DICOM instances of a request as files.")
            })?;
            let header = Header::read(&item.name, path)?;
            Ok(Outputs::one("header", Header { item: Some(item.digest), ..header }))
        })
}

inventory::submit! { BuiltIn(step) }
