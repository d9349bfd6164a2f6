//! OHIF, a viewer of hospitals, as the judge of the segmentation: it has to show the lungs where they are.

use std::path::Path;

use serde_json::json;

use super::Place;
use crate::support::orthanc::Orthanc;
use crate::support::peers::tool;
use crate::support::scripts::Script;

/// The viewer as npm packs it; `.ci/run` fetches it where there is npm.
const VIEWER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/ohif/package/dist");
const WEB: &str = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so";

/// With `FLOW_PICTURES=FOLDER` the picture of the screen is kept there.
#[test]
fn a_viewer_shows_the_segmentation_over_the_series() {
    if !Path::new(VIEWER).is_dir() {
        println!("skipped: there is no OHIF in target/ohif");
        return;
    }
    let (Some(_), Some(web)) = (tool("/usr/bin/chromium"), tool(WEB)) else { return };
    let Some(orthanc) = Orthanc::with(json!({ "Plugins": [web], "DicomWeb": { "Enable": true } })) else {
        return;
    };
    let place = Place::new();
    let files = place.study("in", 1);
    files.iter().for_each(|file| orthanc.keep(&std::fs::read(file).unwrap()));
    let ended = place.run(&["run", "--input", "in", "--to", &orthanc.address()]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let (folder, _) = place.response("flow-output");
    let kept = std::env::var_os("FLOW_PICTURES").map(|kept| Path::new(&kept).join("viewer.png"));
    let arguments = [
        VIEWER.into(),
        orthanc.web_port().to_string().into(),
        folder.join("segmentation.dcm"),
        kept.unwrap_or_else(|| place.path("viewer.png")),
    ];
    let Some(script) = Script::start("playwright, pydicom, PIL", include_str!("viewer.py"), &arguments)
    else {
        return;
    };
    let said = script.rest();
    assert!(said.contains("Dice 0.9"), "{said}");
}
