//! The page of the book about Orthanc, run as it is: its settings, its script and its commands, with other ports.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Place;
use super::nodes::Listening;
use crate::support::orthanc::Orthanc;
use crate::support::peers::{run, tool};
use crate::support::ports::free_port;

const PLUGIN: &str = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so";

/// The page, with the ports and the place of a test.
struct OrthancPage {
    text: String,
    place: Place,
    orthanc_dicom: u16,
    orthanc_web: u16,
}

impl OrthancPage {
    fn open() -> OrthancPage {
        let place = Place::new();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/how-to/orthanc.md");
        let mut text = fs::read_to_string(path).expect("the book has the page");
        let [orthanc_dicom, orthanc_web, flow_dicom, flow_web] = std::array::from_fn(|_| free_port());
        for (shown, port) in
            [("4242", orthanc_dicom), ("8042", orthanc_web), ("11112", flow_dicom), ("8085", flow_web)]
        {
            assert!(text.contains(shown), "the page names port {shown}");
            text = text.replace(shown, &port.to_string());
        }
        let script = place.path("flow.lua").to_str().expect("Unicode").to_owned();
        text = text.replace("/etc/orthanc/flow.lua", &script);
        OrthancPage { text, place, orthanc_dicom, orthanc_web }
    }

    /// The blocks of code in a language below a heading.
    fn blocks(&self, heading: &str, language: &str) -> Vec<String> {
        let part = self.text.split("\n## ").find(|part| part.starts_with(heading)).expect("a section");
        let blocks = part.split("\n```").skip(1).step_by(2);
        let blocks = blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
        blocks.map(str::to_owned).collect()
    }

    fn block(&self, heading: &str, language: &str) -> String {
        let mut blocks = self.blocks(heading, language);
        assert_eq!(blocks.len(), 1, "{heading}: {language}");
        blocks.remove(0)
    }

    /// Runs commands of the page in the place, to the first that fails.
    fn shell(&self, script: &str) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_flow")).parent().expect("it lies in a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.args(["-e", "-x", "-c", script]).current_dir(self.place.path(""));
        command.env("PATH", format!("{}:{path}", program.display())).env_remove("RUST_LOG");
        let ended = run(&mut command);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{said}");
        said
    }

    /// Orthanc with these settings and the ports of the page.
    fn orthanc(&self, settings: &str) -> Option<Orthanc> {
        let mut settings: Value = serde_json::from_str(settings).expect("the settings are JSON");
        settings["DicomPort"] = self.orthanc_dicom.into();
        settings["HttpPort"] = self.orthanc_web.into();
        Orthanc::with(settings)
    }
}

/// The modalities of all series, sorted.
fn modalities(orthanc: &Orthanc) -> Vec<String> {
    let series = orthanc.get("/series?expand");
    let series = series.as_array().expect("a list of series");
    let modality = |one: &Value| one["MainDicomTags"]["Modality"].as_str().expect("each has one").to_owned();
    let mut modalities: Vec<String> = series.iter().map(modality).collect();
    modalities.sort();
    modalities
}

#[test]
fn orthanc_as_it_is_installed_takes_results() {
    if tool("/usr/bin/curl").is_none() {
        return;
    }
    let page = OrthancPage::open();
    let Some(orthanc) = page.orthanc("{}") else { return };
    // Its web server may begin after the other one.
    orthanc.get("/system");
    let said = page.shell(&page.block("Results into Orthanc as it is installed", "sh"));
    assert!(said.contains("delivered"), "{said}");
    assert_eq!(modalities(&orthanc), ["DOC", "OT", "SEG", "SR"]);
}

/// The requests that flow has answered, by their names.
fn answered(page: &OrthancPage) -> usize {
    page.place.responses("flow-output").len()
}

#[test]
fn orthanc_and_flow_send_to_each_other_and_nothing_goes_round() {
    const SECTION: &str = "Both directions";
    if tool("/usr/bin/curl").is_none() || tool(PLUGIN).is_none() {
        return;
    }
    let page = OrthancPage::open();
    fs::write(page.place.path("flow.lua"), page.block(SECTION, "lua")).unwrap();
    fs::write(page.place.path("site.yaml"), page.block(SECTION, "yaml")).unwrap();
    let Some(orthanc) = page.orthanc(&page.block(SECTION, "json")) else { return };
    orthanc.get("/system");
    let [start, test] = &page.blocks(SECTION, "sh")[..] else { panic!("two blocks of commands") };
    assert_eq!(start.trim_end(), "flow run --site site.yaml");
    let mut flow = Listening::of_site(&page.place, "site.yaml");

    page.shell(test);
    let delivered = flow.line("delivered");
    assert!(delivered.contains("8 objects to ORTHANC@"), "{delivered}");
    let once = ["CT", "DOC", "OT", "SEG", "SR"];
    assert_eq!(modalities(&orthanc), once);
    let instances = || orthanc.get("/statistics")["CountInstances"].as_u64().expect("a number");
    let before = instances();

    // All that Orthanc has, with the results in it, comes to flow by both ways, and flow fetches it by both.
    let by_hand = page.blocks("Send by hand", "sh");
    assert_eq!(by_hand.len(), 2);
    by_hand.iter().for_each(|commands| _ = page.shell(commands));
    page.shell(&page.block("Let flow fetch", "sh"));
    for _ in 0..2 {
        assert!(flow.line("fetched a study").contains("instances"));
    }
    assert_eq!(instances(), before);

    // A new study after that one shows that everything before it was looked at.
    page.shell(
        "flow sample other --seed 3 --matrix 64 --slices 40; flow send orthanc other --site site.yaml",
    );
    flow.line("delivered");
    assert_eq!(answered(&page), 2, "the first study and the new one");
    let twice: Vec<&str> = once.into_iter().flat_map(|modality| [modality; 2]).collect();
    assert_eq!(modalities(&orthanc), twice);
    assert_eq!(flow.end(), 0);
}
