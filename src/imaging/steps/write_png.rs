//! `write-png`: writes pictures as PNG files.

use rayon::prelude::*;

use crate::imaging::{Picture, Pictures};
use crate::step::{BuiltIn, Fault, ResponseFile, ResponseFiles, Step, StepOutputs};

fn step() -> Step {
    Step::new("write-png", 1, "Writes pictures as PNG files.")
        .takes::<Pictures>("pictures")
        .gives::<ResponseFiles>("files")
        .runs(|call| {
            let pictures = call.input::<Pictures>("pictures");
            let files = pictures.0.par_iter().map(file).collect::<Result<Vec<_>, Fault>>()?;
            Ok(StepOutputs::one("files", ResponseFiles(files)))
        })
}

fn file(picture: &Picture) -> Result<ResponseFile, Fault> {
    let bytes = picture.png().map_err(|error| {
        Fault::new(
            format!("the picture {:?} could not be written as PNG: {error}", picture.name),
            "This is a mistake in flow: please report it with the request's name.",
        )
    })?;
    Ok(ResponseFile::shared(format!("pictures/{}.png", picture.name), "image/png", bytes))
}

inventory::submit! { BuiltIn(step) }
