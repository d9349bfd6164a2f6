//! Other people's tools as judges.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a tool that must succeed, and gives what it wrote to both streams; nothing where it is not
/// installed.
pub fn peer(program: &str, arguments: &[&str]) -> Option<String> {
    let output = started(program, Command::new(program).args(arguments).output())?;
    let text = text(&output);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    Some(text)
}

/// dicom3tools: no error in the modules and attributes of the instance.
pub fn dciodvfy(file: &Path) {
    // Its exit status counts warnings too.
    let Some(output) = started("dciodvfy", Command::new("dciodvfy").arg(file).output()) else { return };
    let text = text(&output);
    assert!(!text.lines().any(|line| line.starts_with("Error")), "{}: {text}", file.display());
}

/// DCMTK: the report's tree is sound, and says what it should.
pub fn dsrdump(file: &Path, said: &[&str]) {
    let file = file.to_str().expect("the temporary folder's name is Unicode");
    // Long texts are cut without +Pl; +U8 keeps letters beyond ASCII.
    if let Some(text) = peer("dsrdump", &["+U8", "+Pl", file]) {
        said.iter().for_each(|words| assert!(text.contains(words), "{words:?} is not in {text}"));
    }
}

/// PixelMed: the report is what its IOD and template ask for.
pub fn sr_validator(file: &Path, template: &str) {
    let limits = ["xpathExprOpLimit", "xpathTotalOpLimit", "xpathExprGrpLimit"];
    let options: Vec<String> = limits.iter().map(|limit| format!("-Djdk.xml.{limit}=0")).collect();
    let mut command = Command::new("DicomSRValidator");
    command.arg(file).env("JAVA_TOOL_OPTIONS", options.join(" "));
    let Some(output) = started("DicomSRValidator", command.output()) else { return };
    let text = text(&output);
    assert!(!text.contains("Error:"), "{text}");
    assert!(text.contains("IOD validation complete"), "{text}");
    assert!(text.contains(template), "{text}");
}

/// A Python program with pydicom and highdicom that must succeed.
pub fn python(program: &str, files: &[&(impl AsRef<Path> + ?Sized)]) {
    let ready = Command::new("python3").args(["-c", "import pydicom, highdicom"]).output();
    if !started("python3", ready).is_some_and(|output| output.status.success()) {
        missing::<()>("python3 with pydicom and highdicom");
        return;
    }
    let files = files.iter().map(|file| file.as_ref());
    let output = Command::new("python3").args(["-c", program]).args(files).output();
    let output = output.expect("python3 was there a moment ago");
    assert!(output.status.success(), "{}", text(&output));
}

fn started(program: &str, output: std::io::Result<Output>) -> Option<Output> {
    match output {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing(program),
        Err(error) => panic!("{program}: {error}"),
    }
}

fn missing<T>(what: &str) -> Option<T> {
    let required = std::env::var("FLOW_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "{what} is not installed");
    eprintln!("skipped: {what} is not installed");
    None
}

fn text(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}
