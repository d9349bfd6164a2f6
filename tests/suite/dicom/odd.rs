//! Odd files by every way in: each is kept and answered, or refused with the reason, and none stops the
//! service or takes more memory than there should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flow::dicom::folder;
use flow::dicom_file::content::FileContent;
use flow::imaging::read_instance;
use flow::journal::{AnswerKind, JournalReader, RequestState};
use flow::step::Digest;

use super::web::Serving;
use crate::run::Place;
use crate::support::data::Data;
use crate::support::peers::{Background, answering, run, tool, until};
use crate::support::ports::free_port;

/// Archives of test data, of which all files are looked at.
const ARCHIVES: [&str; 3] = ["odd-files", "known-good", "ct-chest-cip64"];

/// One of which a few are, because they are all alike.
const ALIKE: &str = "mr-brain-t1-studyforrest";
const ALIKE_FILES: usize = 3;

const STORESCU: &str = "/usr/bin/storescu";
const DCMSEND: &str = "/usr/bin/dcmsend";

/// No odd file needs more.
const MEMORY_BYTES_MAX: u64 = 300 << 20;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    AnsweredComplete,
    AnsweredWithError,
    Stored,
    NotNegotiated(String),
    Refused(String),
    NotSendable(String),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::AnsweredComplete => f.write_str("accepted, answered: complete"),
            Fate::AnsweredWithError => f.write_str("accepted, answered: error response"),
            Fate::Stored => f.write_str("stored byte for byte"),
            Fate::NotNegotiated(reason) => write!(f, "refused in the negotiation: {reason}"),
            Fate::Refused(reason) => write!(f, "refused: {reason}"),
            Fate::NotSendable(reason) => write!(f, "not sendable by the sender: {reason}"),
        }
    }
}

/// Counts of fates, and a file of each as an example.
fn print_table(title: &str, fates: &[(PathBuf, Fate)]) {
    let mut counts: BTreeMap<&Fate, Vec<&Path>> = BTreeMap::new();
    fates.iter().for_each(|(file, fate)| counts.entry(fate).or_default().push(file));
    println!("{title}: {} files", fates.len());
    for (fate, files) in counts {
        let names =
            files.iter().take(3).filter_map(|file| file.file_name()).map(|name| name.to_string_lossy());
        println!("  {:4}  {fate}  ({})", files.len(), names.collect::<Vec<_>>().join(", "));
    }
}

struct Collection {
    unpacked: Vec<Data>,
    files: Vec<PathBuf>,
}

impl Collection {
    /// All archives that are there, and pydicom-data where Python has it.
    fn gather() -> Collection {
        let mut files = Vec::new();
        let mut unpacked = Vec::new();
        for data in ARCHIVES.into_iter().filter_map(Data::unpack) {
            files.extend(data.files(""));
            unpacked.push(data);
        }
        let program = "import data_store; print(list(data_store.__path__)[0])";
        let installed = run(Command::new("python3").args(["-c", program]));
        let path = String::from_utf8_lossy(&installed.stdout).trim().to_owned();
        if installed.status.success() {
            files.extend(crate::support::data::files_below(&Path::new(&path).join("data")));
        } else {
            println!("skipped: pydicom-data is not installed");
        }
        Collection { unpacked, files }
    }

    fn with_some_alike(mut self) -> Collection {
        if let Some(data) = Data::unpack(ALIKE) {
            self.files.extend(data.files("").into_iter().take(ALIKE_FILES));
            self.unpacked.push(data);
        }
        self
    }
}

/// What DCMTK says of one file; `None` if it is stored. What storescu cannot send, because it proposes no
/// compressed syntax by itself, dcmsend may.
fn sent(port: u16, file: &Path) -> Option<Fate> {
    let peer = ["-aet", "ODD", "-aec", "FLOW", "127.0.0.1", &port.to_string()];
    let with = |program: &str, options: [&str; 2]| {
        said(file, &run(Command::new(program).args(options).args(peer).arg(file)))
    };
    match with(STORESCU, ["-v", "-R"]) {
        Some(Fate::NotSendable(_)) => with(DCMSEND, ["-v", "--decompress-never"]),
        fate => fate,
    }
}

fn said(file: &Path, output: &Output) -> Option<Fate> {
    let said =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    let after = |what: &str| said.split(what).nth(1).and_then(|rest| rest.lines().next()).map(str::to_owned);
    let status = after("Received Store Response ").or_else(|| after("Received C-STORE Response "));
    if let Some(status) = status {
        return (!status.contains("Success")).then_some(Fate::Refused(status));
    }
    let error = after("E: ").or_else(|| after("W: ")).unwrap_or_else(|| said.clone());
    // A reason names no file.
    let error = error.replace(&file.display().to_string(), "it");
    Some(match error.contains("No Acceptable Presentation Contexts") {
        true => Fate::NotNegotiated(error),
        false => Fate::NotSendable(error),
    })
}

/// What was stored is answered: the fate of each SOP instance by its study's folder. There are many studies, and other
/// tests run beside this one, so each wait is for one more.
fn answered(state: &Path) -> BTreeMap<String, Fate> {
    let mut before = None;
    loop {
        let (fates, open) = until("one more of what was stored is answered", || {
            fates(state).filter(|(_, open)| *open == 0 || before.is_none_or(|before| *open < before))
        });
        if open == 0 {
            return fates;
        }
        before = Some(open);
    }
}

/// The fates of what is answered, and the number of studies that are not.
fn fates(state: &Path) -> Option<(BTreeMap<String, Fate>, usize)> {
    let rows = JournalReader::open(state).ok()?.requests().ok()?;
    let (mut fates, mut open) = (BTreeMap::new(), 0);
    for folder in fs::read_dir(state.join("inbox")).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.file_name().unwrap().to_string_lossy().starts_with("study-") {
            continue;
        }
        let has = |row: &&flow::journal::RequestRow| row.claims.iter().any(|one| Path::new(one) == folder);
        let Some(row) = rows.iter().find(has).filter(|row| row.state == RequestState::Answered) else {
            open += 1;
            continue;
        };
        let fate = match row.answer {
            AnswerKind::Failed => Fate::AnsweredWithError,
            AnswerKind::Complete | AnswerKind::Reserved => Fate::AnsweredComplete,
        };
        for file in fs::read_dir(&folder).unwrap() {
            let name = file.unwrap().file_name().to_string_lossy().into_owned();
            let uid = name.trim_end_matches(".dcm").to_owned();
            fates.insert(uid, fate.clone());
        }
    }
    Some((fates, open))
}

fn sop_instance_uid(file: &Path) -> Option<String> {
    if let Ok((header, _)) = read_instance("", file, &fs::read(file).unwrap()) {
        return Some(header.sop_instance_uid);
    }
    // DCMTK reads, and sends, what has no head.
    let dump = run(Command::new("/usr/bin/dcmdump").args(["-q", "+P", "0008,0018", "+L"]).arg(file));
    let text = String::from_utf8_lossy(&dump.stdout).into_owned();
    Some(text.split('[').nth(1)?.split(']').next()?.to_owned())
}

#[test]
fn each_odd_file_from_dcmtk_is_answered_or_refused_with_the_reason() {
    let (Some(_), Some(_)) = (tool(STORESCU), tool(DCMSEND)) else { return };
    let collection = Collection::gather().with_some_alike();
    let place = Place::new();
    let port = free_port();
    let said = place.path("said");
    let mut command = place.flow(&["run", "--listen", &port.to_string(), "--quiet-time", "0.2"]);
    let mut flow = Background::saying_to(&mut command, &said);
    let node = answering("FLOW", port);
    let mut fates: Vec<(PathBuf, Option<Fate>)> =
        collection.files.iter().map(|file| (file.clone(), sent(port, file))).collect();
    let answered = answered(&place.path("flow-state"));
    for (file, fate) in fates.iter_mut().filter(|(_, fate)| fate.is_none()) {
        *fate = sop_instance_uid(file).and_then(|uid| answered.get(&uid).cloned());
        assert!(fate.is_some(), "{} was stored and not answered", file.display());
    }
    let fates: Vec<_> = fates.into_iter().filter_map(|(file, fate)| Some((file, fate?))).collect();
    print_table("storescu -R, dcmsend", &fates);
    flow::dicom::echo(&node).expect("it still serves");
    let peak = flow.peak_bytes().expect("it is running");
    println!("peak memory {} MiB", peak >> 20);
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes");
    flow.end();
    assert!(matches!(flow.ended(), 0 | 1), "{}", fs::read_to_string(said).unwrap());
}

#[test]
fn each_odd_file_over_http_is_kept_byte_for_byte_or_refused_with_the_reason() {
    let collection = Collection::gather();
    let serving = Serving::start(|_, _| {});
    let store = |file: &PathBuf| {
        let answer = serving.store(&[fs::read(file).unwrap()]);
        let reasons =
            [answer.failed().into_iter().map(|(_, reason)| reason).collect(), answer.others()].concat();
        let fate = match (answer.status, reasons.as_slice()) {
            (200, []) => Fate::Stored,
            (status, [reason]) => Fate::Refused(format!("{status}, reason {reason:04X}")),
            (status, _) => panic!("{}: {status} {}", file.display(), answer.body),
        };
        (file.clone(), fate)
    };
    let fates: Vec<(PathBuf, Fate)> = collection.files.iter().map(store).collect();
    print_table("STOW-RS", &fates);
    let inbox = crate::run::tree(&serving.receiving.inbox);
    let kept: BTreeSet<Digest> = inbox.into_values().collect();
    // Of several files with one UID, the last one counts, or the first where they say the same.
    let mut alike: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
    for (file, _) in fates.iter().filter(|(_, fate)| *fate == Fate::Stored) {
        alike.entry(sop_instance_uid(file).unwrap_or_default()).or_default().push(file);
    }
    for files in alike.values() {
        let is_kept = |file: &&Path| kept.contains(&Digest::of(&fs::read(file).unwrap()));
        assert!(files.iter().any(is_kept), "{} has been changed", files[0].display());
    }
}

#[test]
fn each_odd_file_in_a_folder_is_part_of_a_study_or_skipped_with_the_reason() {
    let collection = Collection::gather();
    let found = folder::find(&collection.files).unwrap();
    let mut items = found.studies.iter().flat_map(|study| &study.items);
    let digests: BTreeSet<Digest> = items.by_ref().map(|item| item.digest).collect();
    let skipped: BTreeMap<&Path, &str> =
        found.skipped.iter().map(|one| (one.path.as_path(), one.reason.as_str())).collect();
    let fate = |file: &PathBuf| match skipped.get(file.as_path()) {
        Some(reason) => (file.clone(), Fate::Refused((*reason).to_owned())),
        None => {
            let known = digests.contains(&FileContent::of(&fs::read(file).unwrap()).digest);
            assert!(known, "{} is nowhere", file.display());
            (file.clone(), Fate::Stored)
        }
    };
    let fates: Vec<(PathBuf, Fate)> = collection.files.iter().map(fate).collect();
    print_table("files", &fates);

    let place = Place::new();
    let mut command = place.flow(&["run", "--input"]);
    let said = place.path("said");
    let mut flow = Background::saying_to(command.args(&collection.files), &said);
    let mut peak = 0;
    // The figure is gone with the process.
    until("all is answered", || match flow.peak_bytes() {
        None => Some(()),
        Some(bytes) => {
            peak = bytes;
            None
        }
    });
    println!("peak memory {} MiB", peak >> 20);
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes");
    assert!(matches!(flow.ended(), 0 | 1), "{}", fs::read_to_string(said).unwrap());
    assert_eq!(place.responses("flow-output").len(), found.studies.len());
}
