//! Requests run again: what is identical, what is not, and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use flow::dataflow::Dataflow;
use flow::replay::{
    DataflowText, OutputDifference, PastRequest, RecordingForm, ReplayObserver, ReplayScope, ReplayedRun,
    RequestRecording, RunVerdict, again, pack, shadow, unpack,
};
use flow::step::{
    Digest, Fault, Item, ItemPlace, Parameter, Request, ResponseFile, ResponseFiles, Step, StepOutputs,
    StepTable,
};

use crate::support::random::Number;

const TEXT: &str = "
dataflow: test
steps:
  sizes: {step: size, needs: {item: request.items}}
  sum: {step: sum, needs: {sizes: sizes}, with: {add: 1}}
  text: {step: text, needs: {number: sum}}
response: [text]
";

/// `sum` adds what `drift` has to what it is given: a step that is not pure.
fn table(version: u32, drift: &Arc<AtomicU64>) -> StepTable {
    let drift = Arc::clone(drift);
    let size =
        Step::new("size", 1, "For tests.").takes::<Item>("item").gives::<Number>("number").runs(|call| {
            let size = call.input::<Item>("item").size;
            if size > 2 {
                Err(Fault::new("too large", "Cut it."))
            } else {
                Ok(StepOutputs::one("number", Number(size)))
            }
        });
    let sum = Step::new("sum", version, "For tests.")
        .takes_each::<Number>("sizes")
        .gives::<Number>("number")
        .parameter(Parameter::number("add", 0.0, 0.0, 9.0, ""))
        .runs(move |call| {
            let sum: u64 = call.each::<Number>("sizes").iter().map(|number| number.0).sum();
            let sum = sum + call.number("add") as u64 + drift.load(Ordering::Relaxed);
            Ok(StepOutputs::one("number", Number(sum)))
        });
    let text = Step::new("text", 1, "For tests.")
        .takes::<Number>("number")
        .gives::<ResponseFiles>("files")
        .runs(|call| {
            let text = format!("{{\"sum\": {}}}", call.input::<Number>("number").0);
            let file = ResponseFile::new("sum.json", "application/json", text.into_bytes());
            Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
        });
    StepTable::default().with(size).with(sum).with(text)
}

struct Case {
    past: PastRequest,
    drift: Arc<AtomicU64>,
    _folder: TempDir,
}

impl Case {
    /// A request with items of these sizes that has been run, packed into a file and taken out again.
    fn new(sizes: &[usize]) -> Case {
        let folder = tempfile::tempdir().unwrap();
        let item = |(number, size): (usize, &usize)| {
            let bytes = vec![number as u8; *size];
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, &bytes).unwrap();
            let (digest, size) = (Digest::of(&bytes), *size as u64);
            Item { name: number.to_string(), place: ItemPlace::File(path), digest, size, decoded: size }
        };
        let request = Request::new("r", BTreeMap::new(), sizes.iter().enumerate().map(item).collect());
        let drift = Arc::new(AtomicU64::new(0));
        let dataflow = parsed(TEXT, &table(1, &drift));
        let (name, version, text) = ("test".to_owned(), dataflow.digest(), TEXT.to_owned());
        let (dataflow_text, flow) = (DataflowText { name, version, text }, "0".to_owned());
        let recording =
            RequestRecording { flow, request, dataflow: dataflow_text, runs: Vec::new(), response: None };
        let unrun =
            moved(&recording, |digest| std::fs::read(path_of(&recording, digest)?).ok(), &folder, "unrun");
        let ran = again(&unrun, &dataflow, ReplayScope::Whole, ReplayObserver::default()).unwrap();
        let ran = ran.into_past(&unrun);
        let bytes = |digest| {
            let item = path_of(&ran.recording, digest).and_then(|path| std::fs::read(path).ok());
            item.or_else(|| ran.bytes(digest))
        };
        let past = moved(&ran.recording, bytes, &folder, "ran");
        Case { past, drift, _folder: folder }
    }

    /// What became of each run; `listed` changes are shown of what differs.
    fn again(&self, table: &StepTable, scope: ReplayScope) -> Vec<ReplayedRun> {
        let watch = ReplayObserver { listed: 5, ..ReplayObserver::default() };
        again(&self.past, &parsed(TEXT, table), scope, watch).unwrap().runs
    }
}

fn path_of(recording: &RequestRecording, digest: Digest) -> Option<&std::path::Path> {
    let item = recording.request.items.iter().find(|item| item.digest == digest);
    item.and_then(Item::path)
}

fn parsed(text: &str, table: &StepTable) -> Dataflow {
    Dataflow::parse("test.yaml", text, table).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Packs a recording and takes it out again in a folder of its own.
fn moved(
    recording: &RequestRecording,
    bytes: impl Fn(Digest) -> Option<Vec<u8>>,
    folder: &TempDir,
    name: &str,
) -> PastRequest {
    let mut archive = Vec::new();
    let open = |digest| bytes(digest).map(std::io::Cursor::new).ok_or(std::io::ErrorKind::NotFound.into());
    pack(recording, open, &mut archive).unwrap();
    let place = folder.path().join(name);
    std::fs::create_dir(&place).unwrap();
    PastRequest::of_archive(unpack(archive.as_slice(), &place, 1 << 20).unwrap())
}

fn names(runs: &[ReplayedRun]) -> Vec<&str> {
    runs.iter().map(|ran| ran.step.as_str()).collect()
}

fn differing(runs: &[ReplayedRun]) -> Vec<&ReplayedRun> {
    runs.iter().filter(|ran| ran.verdict != RunVerdict::Identical).collect()
}

#[test]
fn pure_steps_give_the_same() {
    let case = Case::new(&[1, 2, 1]);
    let table = table(1, &case.drift);
    let runs = case.again(&table, ReplayScope::Whole);
    assert_eq!(names(&runs), ["sizes", "sizes", "sizes", "sum", "text"]);
    assert!(differing(&runs).is_empty());
    assert_eq!(names(&case.again(&table, ReplayScope::From("sum"))), ["sum", "text"]);
    assert_eq!(names(&case.again(&table, ReplayScope::Only("sum"))), ["sum"]);
    let failed = Case::new(&[1, 3]);
    assert!(differing(&failed.again(&table, ReplayScope::Whole)).is_empty(), "the same fault is identical");
}

#[test]
fn a_step_that_is_not_pure_is_found_out() {
    let case = Case::new(&[1, 2]);
    case.drift.store(5, Ordering::Relaxed);
    let runs = case.again(&table(1, &case.drift), ReplayScope::Whole);
    let differing = differing(&runs);
    let [sum, text] = differing[..] else { panic!("two differ") };
    assert_eq!((sum.step.as_str(), &sum.verdict), ("sum", &RunVerdict::Differs(vec!["number".to_owned()])));
    assert!(sum.changed.is_empty(), "nothing that it depends on has changed");
    assert_eq!(text.changed, ["the input number"]);
    let OutputDifference::Value(difference) = &sum.parts[0].1 else { panic!("a value") };
    assert_eq!(difference.to_string().trim(), "4 → 9  (+5.000, +125.0 %)");
    let OutputDifference::File { name, difference } = &text.parts[0].1 else { panic!("a file") };
    assert_eq!(
        (name.as_str(), difference.to_string().trim()),
        ("sum.json", "sum  4 → 9  (+5.000, +125.0 %)")
    );
}

#[test]
fn what_has_changed_is_said() {
    let case = Case::new(&[1, 2]);
    case.drift.store(1, Ordering::Relaxed);
    let runs = case.again(&table(2, &case.drift), ReplayScope::Only("sum"));
    assert_eq!(runs[0].changed, ["the step's version (1 before)"]);
    case.drift.store(0, Ordering::Relaxed);
    assert_eq!(
        case.again(&table(2, &case.drift), ReplayScope::Only("sum"))[0].verdict,
        RunVerdict::Identical
    );
}

#[test]
fn what_is_not_kept_is_made_again() {
    let mut case = Case::new(&[1, 2]);
    for run in &mut case.past.recording.runs {
        run.outputs.iter_mut().for_each(|output| output.kept = RecordingForm::No);
    }
    let table = table(1, &case.drift);
    let runs = case.again(&table, ReplayScope::Only("text"));
    assert_eq!((names(&runs), differing(&runs).len()), (vec!["text"], 0));
    case.drift.store(5, Ordering::Relaxed);
    let runs = case.again(&table, ReplayScope::Only("text"));
    assert_eq!(runs[0].parts[0].1, OutputDifference::Unkept, "there is nothing but a digest to compare with");
}

#[test]
fn a_shadow_runs_only_what_its_dataflow_changes() {
    let case = Case::new(&[1, 2]);
    let table = table(1, &case.drift);
    let first =
        again(&case.past, &parsed(TEXT, &table), ReplayScope::Whole, ReplayObserver::default()).unwrap();
    // Were a step run that has nothing to do with the change, this would show.
    let other = parsed(&TEXT.replace("add: 1", "add: 2"), &table);
    let second = shadow(&case.past, &other, &first, ReplayObserver::default());
    assert_eq!(names(&second.runs).len(), 4);
    let changed: Vec<(&str, &[String])> =
        differing(&second.runs).iter().map(|ran| (ran.step.as_str(), ran.changed.as_slice())).collect();
    let (parameters, input) = (["its parameters".to_owned()], ["the input number".to_owned()]);
    assert_eq!(changed, [("sum", &parameters[..]), ("text", &input[..])]);
    assert!(second.runs.iter().filter(|ran| ran.step == "sizes").all(|ran| ran.took.is_zero()));
    let without =
        parsed(&TEXT.replace("response: [text]", "response: [again]").replace("  text:", "  again:"), &table);
    let third = shadow(&case.past, &without, &first, ReplayObserver::default());
    assert_eq!(third.runs.last().unwrap().verdict, RunVerdict::New);
}

#[test]
fn a_fault_where_there_was_none() {
    let mut case = Case::new(&[1, 2]);
    let large = Case::new(&[1, 3]);
    case.past.recording.request = large.past.recording.request.clone();
    let runs = case.again(&table(1, &case.drift), ReplayScope::Whole);
    let verdicts: Vec<&RunVerdict> = runs.iter().map(|ran| &ran.verdict).collect();
    assert!(matches!(verdicts[..], [RunVerdict::Identical, RunVerdict::Otherwise { .. }]), "{verdicts:?}");
}
