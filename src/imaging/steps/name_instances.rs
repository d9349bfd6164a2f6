//! `name-instances`: names for the files of a study, by which programs tell its series apart.

use serde_json::Value as Json;

use crate::imaging::InstanceHeader;
use crate::step::{BuiltIn, JsonValue, Step, StepOutputs};

fn step() -> Step {
    Step::new(
        "name-instances",
        1,
        "Names the files of a study as mercure does: SERIES#INSTANCE.dcm, by their UIDs.",
    )
    .takes_each::<InstanceHeader>("headers")
    .gives::<JsonValue>("names")
    .cheap()
    .runs(|call| {
        let names = call.each::<InstanceHeader>("headers").into_iter().map(name);
        Ok(StepOutputs::one("names", JsonValue(names.map(Json::String).collect())))
    })
}

inventory::submit! { BuiltIn(step) }

/// The name of one file. UIDs come from outside: of them, only what a UID may have is kept.
fn name(header: &InstanceHeader) -> String {
    let uid =
        |text: &str| text.replace(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '.'), "_");
    format!("{}#{}.dcm", uid(&header.series_instance_uid), uid(&header.sop_instance_uid))
}
