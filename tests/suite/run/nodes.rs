//! Studies in and results out over DICOM, with DCMTK and Orthanc at the other ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use flow::dataflow::ResponseVerdict;
use serde_json::json;

use super::Place;
use crate::support::orthanc::Orthanc;
use crate::support::peers::{Background, answering, run, tool, until};
use crate::support::ports::free_port;
use crate::support::without_time;

/// `flow run --listen` with what it says; ended when dropped.
pub struct Listening {
    child: Child,
    says: std::io::Lines<BufReader<ChildStderr>>,
    port: String,
}

impl Listening {
    pub fn start(place: &Place, more: &[&str]) -> Listening {
        let mut command = place.flow(&["run", "--listen", "0"]);
        if !more.contains(&"--quiet-time") {
            command.args(["--quiet-time", "0.2"]);
        }
        Listening::of(command.args(more))
    }

    /// With the listeners and times of a site's file.
    pub fn of_site(place: &Place, site: &str) -> Listening {
        Listening::of(&mut place.flow(&["run", "--site", site]))
    }

    fn of(command: &mut Command) -> Listening {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut says = BufReader::new(child.stderr.take().unwrap()).lines();
        // The listener for HTTP says its address as a URL.
        let port = |line: String| {
            let listening = without_time(&line).strip_prefix("listening")?;
            listening.split([':', ' ']).find(|word| word.parse::<u16>().is_ok()).map(str::to_owned)
        };
        let port = says.by_ref().map(|line| line.unwrap()).find_map(port).expect("it says where it listens");
        Listening { child, says, port }
    }

    /// The next line that begins so; others are passed over.
    pub fn line(&mut self, begins: &str) -> String {
        let lines = self.says.by_ref().map(|line| line.unwrap());
        lines
            .map(|line| without_time(&line).to_owned())
            .find(|line| line.starts_with(begins))
            .unwrap_or_else(|| panic!("it ended before saying {begins:?}"))
    }

    pub fn send(&self, storescu: &str, folder: &Path) {
        let arguments = ["-aec", "FLOW", "+sd", "127.0.0.1", self.port.as_str()];
        let sent = run(Command::new(storescu).args(arguments).arg(folder));
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }

    pub fn port(&self) -> &str {
        &self.port
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end as an operator would; gives its exit code.
    pub fn end(&mut self) -> i32 {
        let pid = self.child.id().to_string();
        assert!(run(Command::new("kill").args(["-TERM", &pid])).status.success());
        until("it ends", || self.child.try_wait().unwrap()).code().expect("it ends by itself")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// DCMTK's receiver as PACS, with its files in the place's `pacs`; gives its address.
pub fn receiving_pacs(place: &Place, storescp: &str) -> (Background, String) {
    fs::create_dir(place.path("pacs")).unwrap();
    let port = free_port();
    let mut pacs = Command::new(storescp);
    let pacs =
        Background::start(pacs.args(["-aet", "PACS", "-od"]).arg(place.path("pacs")).arg(port.to_string()));
    (pacs, answering("PACS", port).to_string())
}

#[test]
fn a_study_from_storescu_is_answered_to_storescp_also_when_it_fails() {
    let (Some(storescu), Some(storescp)) = (tool("/usr/bin/storescu"), tool("/usr/bin/storescp")) else {
        return;
    };
    let place = Place::new();
    place.study("good", 1);
    fs::remove_file(&place.study("gap", 2)[10]).unwrap();
    let (_pacs, destination) = receiving_pacs(&place, storescp);
    let mut flow = Listening::start(&place, &["--to", &destination, "--keep-days", "0"]);
    flow.send(storescu, &place.path("good"));
    assert!(flow.line("delivered").contains("8 objects"), "five pictures, a segmentation, a report, a page");
    flow.send(storescu, &place.path("gap"));
    assert!(flow.line("delivered").contains("2 objects"), "a page and a report of the error");
    assert_eq!(fs::read_dir(place.path("pacs")).unwrap().count(), 10);
    assert_eq!(flow.end(), 1, "there was an error response");
    let inbox = super::tree(&place.path("flow-state/inbox"));
    assert!(inbox.is_empty(), "what is not to be kept leaves the inbox: {inbox:?}");
}

#[test]
fn results_arrive_in_orthanc_in_the_study_of_the_request() {
    let Some(storescu) = tool("/usr/bin/storescu") else { return };
    let Some(orthanc) = Orthanc::start(free_port()) else { return };
    let place = Place::new();
    place.study("in", 1);
    let destination = orthanc.address();
    let mut flow = Listening::start(&place, &["--to", &destination]);
    // The images go to both, as from a scanner.
    flow.send(storescu, &place.path("in"));
    assert_eq!(place.run(&["send", &destination, "in"]).code, 0);
    flow.line("delivered");
    assert_eq!(
        orthanc.get("/studies").as_array().unwrap().len(),
        1,
        "the results are in the study they are of"
    );
    let series = orthanc.get("/series?expand");
    let modality =
        |series: &serde_json::Value| series["MainDicomTags"]["Modality"].as_str().unwrap().to_owned();
    let mut modalities: Vec<String> = series.as_array().unwrap().iter().map(modality).collect();
    modalities.sort();
    assert_eq!(modalities, ["CT", "DOC", "OT", "SEG", "SR"]);
    // The same study once more: the same results, which change nothing at the receiver.
    let before = orthanc.get("/statistics")["CountInstances"].clone();
    flow.send(storescu, &place.path("in"));
    flow.line("delivered");
    assert_eq!(orthanc.get("/statistics")["CountInstances"], before);
    assert_eq!(flow.end(), 0);
}

/// Orthanc knows no node then, so that it aborts the association of a query.
#[test]
fn results_arrive_in_orthanc_as_shipped_and_the_log_says_once_that_it_answers_no_queries() {
    let Some(storescu) = tool("/usr/bin/storescu") else { return };
    let Some(orthanc) = Orthanc::with(json!({})) else { return };
    let place = Place::new();
    place.study("one", 1);
    place.study("two", 2);
    let mut flow = Listening::start(&place, &["--to", &orthanc.address()]);
    let mut said = Vec::new();
    for study in ["one", "two"] {
        flow.send(storescu, &place.path(study));
        // All lines up to the one that ends the request.
        while said.last().is_none_or(|line: &String| !line.starts_with("answered")) {
            said.push(flow.line(""));
        }
        said.push(String::new());
    }
    let delivered = said.iter().filter(|line| line.starts_with("delivered")).collect::<Vec<_>>();
    assert!(delivered.len() == 2 && delivered.iter().all(|line| line.contains("8 objects")), "{said:?}");
    let told: Vec<_> = said.iter().filter(|line| line.contains("answers no queries")).collect();
    assert!(told.len() == 1 && told[0].contains("DicomModalities"), "{said:?}");
    let results = orthanc.get("/statistics")["CountInstances"].clone();
    assert_eq!(results, 16, "8 results of each study");
    assert_eq!(flow.end(), 0);
}

#[test]
fn a_destination_that_is_not_there_loses_nothing() {
    let place = Place::new();
    place.study("in", 1);
    let to = format!("PACS@127.0.0.1:{}", free_port());
    let ended = place.run(&["run", "--input", "in", "--to", &to, "--retry", "0,0"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("NOT DELIVERED") && ended.err.contains("after 3 tries"), "{}", ended.err);
    let (folder, response) = place.response("flow-output");
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "the results are there");
    let deliveries = fs::read_to_string(folder.join("delivery.json")).unwrap();
    assert!(deliveries.contains("\"complete\": false"), "{deliveries}");
}

#[test]
fn results_go_back_to_the_sender_if_it_is_known_where_it_receives() {
    let (Some(storescu), Some(storescp)) = (tool("/usr/bin/storescu"), tool("/usr/bin/storescp")) else {
        return;
    };
    let place = Place::new();
    place.study("in", 1);
    fs::create_dir(place.path("sender")).unwrap();
    let port = free_port();
    let mut sender = Command::new(storescp);
    let _sender = Background::start(sender.arg("-od").arg(place.path("sender")).arg(port.to_string()));
    // By this title storescu calls itself.
    let known = answering("STORESCU", port).to_string();
    let mut flow = Listening::start(&place, &["--back-to", &known]);
    flow.send(storescu, &place.path("in"));
    let delivered = flow.line("delivered");
    let received = fs::read_dir(place.path("sender")).unwrap().count();
    assert!(received > 0 && delivered.contains(&format!("{received} objects to the sender")), "{delivered}");
    assert_eq!(flow.end(), 0);

    let arguments = ["--back-to", "OTHER@127.0.0.1:104", "--state", "other", "--output", "other-output"];
    let mut flow = Listening::start(&place, &arguments);
    flow.send(storescu, &place.path("in"));
    flow.line("answered");
    assert_eq!(flow.end(), 0, "there was nothing to do for the sender, and nothing failed");
    let (folder, _) = place.response("other-output");
    let deliveries = fs::read_to_string(folder.join("delivery.json")).unwrap();
    assert!(deliveries.contains("the response is not for this destination"), "{deliveries}");
}

/// The regions of a study's `results.json`.
fn measured(place: &Place, output: &str) -> serde_json::Value {
    let (folder, response) = place.response(output);
    assert_eq!(response.verdict, ResponseVerdict::CompleteWithReservations, "{output}: {:?}", response.steps);
    let results = fs::read(folder.join("results.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&results).unwrap()["regions"].take()
}

#[test]
fn a_study_that_dcmtk_compressed_without_loss_gives_the_same_numbers() {
    let place = Place::new();
    let files = place.study("plain", 1);
    assert_eq!(place.run(&["run", "--input", "plain", "--output", "out-plain"]).code, 0);
    let encoders = [
        ("rle", "/usr/bin/dcmcrle", None),
        ("jpeg", "/usr/bin/dcmcjpeg", Some("+e1")),
        ("jpeg-ls", "/usr/bin/dcmcjpls", Some("+el")),
    ];
    for (name, program, option) in encoders {
        let Some(program) = tool(program) else { continue };
        fs::create_dir(place.path(name)).unwrap();
        for file in &files {
            let compressed = place.path(name).join(file.file_name().unwrap());
            assert!(run(Command::new(program).args(option).arg(file).arg(compressed)).status.success());
        }
        let output = format!("out-{name}");
        let ended = place.run(&["run", "--input", name, "--output", &output]);
        assert_eq!(ended.code, 0, "{name}: {}", ended.err);
        assert_eq!(measured(&place, &output), measured(&place, "out-plain"), "{name}");
    }
}

/// A file in which some elements say this instead of their representations.
fn with_representation(file: &[u8], says: [u8; 2]) -> Vec<u8> {
    let mut file = file.to_vec();
    // Patient ID, Rows, Rescale Intercept, Image Position (Patient).
    for head in [b"\x10\0\x20\0LO", b"\x28\0\x10\0US", b"\x28\0\x52\x10DS", b"\x20\0\x32\0DS"] {
        let at = file.windows(6).position(|bytes| bytes == head).expect("the element is there");
        file[at + 4..at + 6].copy_from_slice(&says);
    }
    file
}

#[test]
fn a_study_with_elements_without_a_representation_is_the_same_request_with_the_same_numbers() {
    let place = Place::new();
    let files = place.study("plain", 1);
    // Each with a state of its own, where no other study is known.
    let run = |name: &str| {
        let (state, output) = (format!("state-{name}"), format!("out-{name}"));
        let ended = place.run(&["run", "--input", name, "--state", &state, "--output", &output]);
        assert_eq!(ended.code, 0, "{name}: {}", ended.err);
        (place.response(&output).1.request, measured(&place, &output))
    };
    let plain = run("plain");
    for (name, says) in [("questions", *b"??"), ("zeros", [0, 0])] {
        fs::create_dir(place.path(name)).unwrap();
        for file in &files {
            let odd = with_representation(&fs::read(file).unwrap(), says);
            fs::write(place.path(name).join(file.file_name().unwrap()), odd).unwrap();
        }
        assert_eq!(run(name), plain, "{name}");
    }
}
