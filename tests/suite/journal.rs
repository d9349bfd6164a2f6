//! What the journal promises: what it accepts is there afterwards, as it was, or it refuses.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow::dataflow::{Response, ResponseVerdict};
use flow::journal::{
    Journal, JournalEntry, JournalReader, OperatorRequest, Receipt, RequestArrival, RequestRow,
    RequestStanding, RequestState, RetentionLimits,
};
use flow::step::{Digest, Item, ItemPlace, Request};
use flow::store::Store;

fn open(state: &Path) -> Result<Journal, flow::journal::JournalError> {
    Journal::open(state, Arc::new(Store::at(state.join("store")).unwrap()), 0)
}

fn request(name: &str) -> Arc<Request> {
    let digest = Digest::of(name.as_bytes());
    let item =
        Item { name: name.to_owned(), place: ItemPlace::File("/in/x".into()), digest, size: 3, decoded: 3 };
    Arc::new(Request::new(name, Default::default(), vec![item]))
}

fn accept(journal: &Journal, name: &str) -> Receipt {
    accept_request(journal, request(name))
}

fn accept_request(journal: &Journal, request: Arc<Request>) -> Receipt {
    let version = Digest::of(b"version");
    journal
        .accept(RequestArrival {
            request,
            dataflow: "test".into(),
            version,
            program: version,
            lookup_texts: Vec::new(),
        })
        .unwrap()
}

fn response(name: &str) -> Response {
    Response {
        request: request(name).id,
        name: name.to_owned(),
        dataflow: "test".into(),
        version: Digest::of(b"version"),
        verdict: ResponseVerdict::Complete,
        steps: Vec::new(),
        reservations: Vec::new(),
        streams: Vec::new(),
        files: Vec::new(),
        supersedes: None,
        revises: None,
    }
}

/// The destination has what was sent to it, or a part.
fn delivered(complete: bool) -> JournalEntry {
    let detail = serde_json::Value::Null;
    JournalEntry::Delivered { destination: "PACS".to_owned(), complete, response: None, detail }
}

/// Accepts three requests: the first is answered, the second has a response, the third has none.
fn three(state: &Path) {
    let journal = open(state).unwrap();
    let receipts = ["one", "two", "three"].map(|name| accept(&journal, name));
    for (receipt, name) in receipts.iter().zip(["one", "two"]) {
        journal.append(receipt, JournalEntry::Responded { response: response(name) }).unwrap();
    }
    journal.append(&receipts[1], delivered(true)).unwrap();
    journal.append(&receipts[0], JournalEntry::Answered).unwrap();
}

#[test]
fn the_next_process_finds_what_is_unanswered_and_how_far_it_is() {
    let state = tempfile::tempdir().unwrap();
    three(state.path());
    let journal = open(state.path()).unwrap();
    let rows = journal.unanswered("test").unwrap();
    let names: Vec<(&str, RequestState)> = rows.iter().map(|row| (row.name.as_str(), row.state)).collect();
    assert_eq!(names, [("two", RequestState::Responded), ("three", RequestState::Accepted)]);
    assert!(journal.unanswered("other").unwrap().is_empty(), "another dataflow's are not ours");
    let history = journal.history(rows[0].number).unwrap().unwrap();
    let receipt = journal.receipt(&history).unwrap();
    assert_eq!(history.response(), Some(&response("two")));
    assert_eq!(receipt.request(), &request("two"));
    assert!(!receipt.delivered("PACS").is_empty() && receipt.delivered("OTHER").is_empty());
}

#[test]
fn a_history_is_whole_while_another_process_adds_to_it() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path()).unwrap();
    let receipt = accept(&journal, "one");
    let reader = JournalReader::open(state.path()).unwrap();
    let (is_written, number) = (&AtomicBool::new(false), receipt.number().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !is_written.load(Ordering::Acquire) {
                reader.history(number).unwrap();
            }
        });
        for _ in 0..500 {
            journal.append(&receipt, delivered(false)).unwrap();
        }
        is_written.store(true, Ordering::Release);
    });
}

#[test]
fn what_a_destination_answered_counts_for_its_response_only_file_by_file() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path()).unwrap();
    let receipt = accept(&journal, "one");
    let number = receipt.number().unwrap();
    let (interim, last) = (response("interim"), response("one"));
    let destination = || "PACS".to_owned();
    let sent = |response: &Response, detail: &str| {
        let (response, detail) = (response.digest(), detail.into());
        journal.expedite(number, JournalEntry::Sent { destination: destination(), response, detail });
    };
    let tried = |response: &Response, detail: &str| {
        let (response, detail) = (Some(response.digest()), detail.into());
        let entry = JournalEntry::Delivered { destination: destination(), complete: false, response, detail };
        journal.append(&receipt, entry).unwrap();
    };
    let delivered =
        || journal.history(number).unwrap().unwrap().delivered().remove("PACS").unwrap_or_default();
    journal.append(&receipt, JournalEntry::Interim { response: interim.clone() }).unwrap();
    journal.append(&receipt, JournalEntry::Responded { response: last.clone() }).unwrap();
    sent(&interim, "late");
    tried(&interim, "late");
    assert!(delivered().is_empty(), "what a deadline made is not the answer, whenever it arrives");
    sent(&last, "a");
    sent(&last, "b");
    assert_eq!(delivered(), ["a", "b"]);
    tried(&last, "all so far");
    sent(&last, "c");
    assert_eq!(delivered(), ["all so far", "c"]);
}

#[test]
fn a_wish_to_retry_what_is_on_its_way_changes_no_record() {
    let state = tempfile::tempdir().unwrap();
    three(state.path());
    let journal = open(state.path()).unwrap();
    let rows = journal.unanswered("test").unwrap();
    let reader = JournalReader::open(state.path()).unwrap();
    rows.iter()
        .for_each(|row| reader.operator_request(OperatorRequest::Retry, row.number, "a test").unwrap());
    let seen = journal.operator_requests().unwrap();
    let seen: Vec<(&str, RequestState)> =
        seen.iter().map(|(row, _)| (row.name.as_str(), row.state)).collect();
    assert_eq!(seen, [("two", RequestState::Responded)], "the third is still in work");
    let history = journal.history(rows[0].number).unwrap().unwrap();
    assert!(!history.is_retried() && !history.delivered().is_empty());
    assert_eq!(journal.operator_requests().unwrap().len(), 0);
}

#[test]
fn the_same_request_again_is_known() {
    let state = tempfile::tempdir().unwrap();
    three(state.path());
    let journal = open(state.path()).unwrap();
    let standings = ["one", "two", "three", "four"].map(|name| accept(&journal, name).standing());
    assert_eq!(
        standings,
        [RequestStanding::Answered, RequestStanding::InWork, RequestStanding::InWork, RequestStanding::New]
    );
    assert_eq!(accept(&journal, "one").standing(), RequestStanding::InWork, "it is open again");
}

#[test]
fn who_dies_again_and_again_without_getting_anywhere_is_counted() {
    let state = tempfile::tempdir().unwrap();
    let number = accept(&open(state.path()).unwrap(), "deadly").number().unwrap();
    for starts in 0..4 {
        let journal = open(state.path()).unwrap();
        journal.unanswered("test").unwrap();
        let history = journal.history(number).unwrap().unwrap();
        assert_eq!(history.futile_starts(), starts);
        journal.note(number, JournalEntry::Began, Vec::new());
    }
}

#[test]
fn what_is_old_goes_and_what_is_unanswered_stays() {
    let state = tempfile::tempdir().unwrap();
    three(state.path());
    let journal = open(state.path()).unwrap();
    let nothing = RetentionLimits { age_max: Duration::MAX, bytes_max: u64::MAX };
    assert_eq!(journal.collect(nothing, &|_, _| Ok(())).unwrap().requests, 0);
    let file = journal.store().put(request("one").id, Digest::of(b"x"), b"x");
    file.unwrap();
    accept(&journal, "big");
    let receipt = accept(&journal, "big");
    let files = vec![flow::step::ResponseFile::new("x", "text/plain", b"x".to_vec()).artifact()];
    journal
        .append(&receipt, JournalEntry::Responded { response: Response { files, ..response("big") } })
        .unwrap();
    journal.append(&receipt, JournalEntry::Answered).unwrap();
    let all = RetentionLimits { age_max: Duration::MAX, bytes_max: 0 };
    assert_eq!(journal.collect(all, &|_, _| Ok(())).unwrap().bytes, 1);
    assert!(journal.store().get(request("one").id, Digest::of(b"x")).is_none(), "its files are gone");
    let left: Vec<String> = journal.requests().unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(left, ["two", "three"]);
    assert_eq!(accept(&journal, "one").standing(), RequestStanding::New, "it is forgotten");
    drop(journal);
    open(state.path()).unwrap();
}

#[test]
fn another_answer_is_due_at_every_destination() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path()).unwrap();
    let receipt = accept(&journal, "one");
    let number = receipt.number().unwrap();
    let count = || journal.history(number).unwrap().unwrap().delivered().len();
    let taken = || journal.append(&receipt, delivered(true)).unwrap();
    journal.append(&receipt, JournalEntry::Interim { response: response("one") }).unwrap();
    taken();
    assert_eq!(count(), 0, "what a deadline made is not the answer");
    let failed = Response { verdict: ResponseVerdict::Failed, ..response("one") };
    journal.append(&receipt, JournalEntry::Responded { response: failed }).unwrap();
    assert_eq!(count(), 0);
    taken();
    assert_eq!(count(), 1);
    journal.append(&receipt, JournalEntry::Answered).unwrap();
    let reader = JournalReader::open(state.path()).unwrap();
    reader.operator_request(OperatorRequest::Retry, number, "a test").unwrap();
    reader.operator_request(OperatorRequest::Retry, number, "a test").unwrap();
    assert_eq!(journal.operator_requests().unwrap().len(), 1, "once is enough");
    assert_eq!(count(), 0, "the next answer is another");
    let history = journal.history(number).unwrap().unwrap();
    assert_eq!((history.rejected(), history.is_retried()), (1, true));
    assert_eq!(journal.receipt(&history).unwrap().request().edition, 1);
}

#[test]
fn what_is_forgotten_and_comes_again_is_another_request() {
    let state = tempfile::tempdir().unwrap();
    three(state.path());
    let journal = open(state.path()).unwrap();
    let first = accept(&journal, "four").number();
    journal.append(&accept(&journal, "four"), JournalEntry::Answered).unwrap();
    journal.collect(RetentionLimits { age_max: Duration::ZERO, bytes_max: 0 }, &|_, _| Ok(())).unwrap();
    let again = accept(&journal, "four");
    assert_eq!(again.standing(), RequestStanding::New);
    assert!(again.number() > first, "a number is not used again");
    drop(journal);
    open(state.path()).unwrap();
}

/// What a journal says, if it opens: names and states.
fn said(state: &Path) -> Result<Vec<(String, RequestState, usize)>, String> {
    let journal = open(state).map_err(|error| error.to_string())?;
    let rows = journal.requests().map_err(|error| error.to_string())?;
    let said = rows.into_iter().map(|row| {
        let history = journal.history(row.number).map_err(|error| error.to_string())?.unwrap();
        Ok((row.name, row.state, history.entries.len()))
    });
    said.collect()
}

#[test]
fn a_turned_bit_anywhere_is_refused_or_does_not_matter() {
    let state = tempfile::tempdir().unwrap();
    three(state.path());
    let whole = said(state.path()).unwrap();
    let path = state.path().join(Journal::FILE);
    let bytes = fs::read(&path).unwrap();
    let (mut refused, mut same) = (0, 0);
    for place in (0..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(state.path().join(format!("{}{ending}", Journal::FILE)));
        }
        fs::write(&path, damaged).unwrap();
        match said(state.path()) {
            Ok(now) => {
                assert_eq!(now, whole, "byte {place}");
                same += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20 && same > 20, "{refused} refused, {same} made no difference");
}

/// A journal as flow 0.1.0 wrote it: later versions must read it.
fn of_format(number: u32) -> tempfile::TempDir {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal");
    let state = tempfile::tempdir().unwrap();
    fs::copy(folder.join(format!("format-{number}.sqlite")), state.path().join(Journal::FILE)).unwrap();
    state
}

/// `FLOW_ACCEPT=1` writes the journal of the newest format anew, which is right only as long as no release
/// has been made with it.
#[test]
fn a_journal_of_each_format_is_read_and_goes_on() {
    if std::env::var_os("FLOW_ACCEPT").is_some() {
        let state = tempfile::tempdir().unwrap();
        three(state.path());
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/format-4.sqlite");
        fs::copy(state.path().join(Journal::FILE), fixture).unwrap();
    }
    for format in [1, 2, 3, 4] {
        let state = of_format(format);
        let expected = [
            ("one", RequestState::Answered, 3),
            ("two", RequestState::Responded, 3),
            ("three", RequestState::Accepted, 1),
        ];
        let expected = expected.map(|(name, state, records)| (name.to_owned(), state, records));
        let reader = JournalReader::open(state.path()).unwrap();
        let read: Vec<_> = reader.requests().unwrap().into_iter().map(|row| (row.name, row.state)).collect();
        let names: Vec<_> = expected.iter().map(|(name, state, _)| (name.clone(), *state)).collect();
        assert_eq!(read, names, "format {format}, beside whoever writes");
        drop(reader);
        assert_eq!(said(state.path()).unwrap(), expected, "format {format}");
        let journal = open(state.path()).unwrap();
        let history = journal.history(2).unwrap().unwrap();
        assert_eq!(history.response(), Some(&response("two")));
        assert_eq!(*history.request().unwrap().0, *request("two"));
        assert_eq!(journal.unanswered("test").unwrap().len(), 2);
        journal.append(&accept(&journal, "four"), JournalEntry::Answered).unwrap();
        let all = RetentionLimits { age_max: Duration::ZERO, bytes_max: 0 };
        assert_eq!(journal.collect(all, &|_, _| Ok(())).unwrap().requests, 2);
        drop(journal);
        let left: Vec<String> = said(state.path()).unwrap().into_iter().map(|(name, ..)| name).collect();
        assert_eq!(left, ["two", "three"], "format {format}");
    }
}

fn arrival(name: &str) -> RequestArrival {
    let version = Digest::of(b"version");
    let item = Item::inline(name, name.as_bytes());
    let request = Arc::new(Request::new(name, Default::default(), vec![item]));
    RequestArrival { request, dataflow: "test".into(), version, program: version, lookup_texts: Vec::new() }
}

#[test]
fn requests_that_are_accepted_together_are_each_recorded() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path()).unwrap();
    let names = ["a", "b", "a", "c"];
    let receipts = journal.accept_all(names.map(arrival).into()).unwrap();
    let standings: Vec<RequestStanding> = receipts.iter().map(Receipt::standing).collect();
    let (new, in_work) = (RequestStanding::New, RequestStanding::InWork);
    assert_eq!(standings, [new, new, in_work, new]);
    assert_eq!(receipts[0].number(), receipts[2].number());
    assert!(journal.accept_all(Vec::new()).unwrap().is_empty());
    drop(journal);
    let expected = ["a", "b", "c"].map(|name| (name.to_owned(), RequestState::Accepted, 1));
    assert_eq!(said(state.path()).unwrap(), expected);
}

#[test]
fn whoever_does_not_wait_is_told_when_it_is_recorded_and_many_records_make_one_row() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path()).unwrap();
    let receipts = journal.accept_all(["a", "b"].map(arrival).into()).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    for receipt in &receipts {
        journal.expedite(receipt.number().unwrap(), JournalEntry::Began);
        let tell = tell.clone();
        let entry = JournalEntry::Responded { response: response("x") };
        journal.append_then(receipt, &entry, Vec::new(), move |result| tell.send(result).unwrap());
        journal.append_surely(receipt, JournalEntry::Answered);
    }
    drop(tell);
    assert_eq!(told.iter().filter(Result::is_ok).count(), 2);
    drop(journal);
    let expected = ["a", "b"].map(|name| (name.to_owned(), RequestState::Answered, 4));
    assert_eq!(said(state.path()).unwrap(), expected);
}

#[test]
fn of_many_the_oldest_go_and_no_more_than_need_be() {
    const COUNT: usize = 1_000;
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path()).unwrap();
    let name = |number: usize| format!("request-{number:04}");
    let arrivals = (0..COUNT).map(|number| arrival(&name(number))).collect();
    let receipts = journal.accept_all(arrivals).unwrap();
    let reader = JournalReader::open(state.path()).unwrap();
    for (number, receipt) in receipts.iter().enumerate() {
        match number % 10 {
            0 => {}
            1 => reader.operator_request(OperatorRequest::Keep, receipt.number().unwrap(), "a test").unwrap(),
            _ => journal.append_surely(receipt, JournalEntry::Answered),
        }
    }
    journal.operator_requests().unwrap();
    (1..COUNT).step_by(10).for_each(|number| {
        journal.append_surely(&receipts[number], JournalEntry::Answered);
    });
    let each = name(0).len() as u64;
    let limits = RetentionLimits { age_max: Duration::MAX, bytes_max: each * (COUNT as u64 - 500) };
    let collected = journal.collect(limits, &|_, _| Ok(())).unwrap();
    assert_eq!((collected.requests, collected.bytes), (500, 500 * each));
    assert_eq!(journal.collect(limits, &|_, _| Ok(())).unwrap().requests, 0);
    let left: Vec<String> = journal.requests().unwrap().into_iter().map(|row| row.name).collect();
    let goes = |number: &usize| number % 10 > 1;
    let gone: Vec<String> = (0..COUNT).filter(goes).take(500).map(name).collect();
    assert_eq!(left.len(), COUNT - 500);
    assert!(gone.iter().all(|name| !left.contains(name)), "the oldest that may go");
    drop(journal);
    assert_eq!(open(state.path()).unwrap().unanswered("test").unwrap().len(), COUNT / 10);
}

/// Answers a request that claims these, forgets it, and gives what its source is told to release.
fn released(journal: &Journal, name: &str, claims: &[&str]) -> Vec<String> {
    let claims = claims.iter().map(|claim| (*claim).to_owned()).collect();
    let receipt = accept_request(journal, Arc::new(Request { claims, ..(*request(name)).clone() }));
    journal.append(&receipt, JournalEntry::Answered).unwrap();
    let told = Mutex::new(Vec::new());
    let release = |_: &RequestRow, claims: &[String]| {
        told.lock().unwrap().extend_from_slice(claims);
        Ok(())
    };
    journal.collect(RetentionLimits { age_max: Duration::ZERO, bytes_max: 0 }, &release).unwrap();
    told.into_inner().unwrap()
}

#[test]
fn a_source_is_told_of_the_claims_that_no_other_request_has() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path()).unwrap();
    let open = Request { claims: vec!["both".to_owned()], ..(*request("open")).clone() };
    accept_request(&journal, Arc::new(open));
    let outside = state.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let outside = outside.to_str().unwrap();
    assert_eq!(released(&journal, "one", &["both", outside, "own"]), [outside, "own"]);
    assert!(Path::new(outside).exists(), "the journal itself removes nothing of a source");
    assert!(released(&journal, "two", &[]).is_empty());
}

#[test]
fn a_request_is_found_by_what_its_source_calls_it_and_no_other_is_asked() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path()).unwrap();
    let called =
        |name: &str| RequestArrival { lookup_texts: vec![format!("patient {name}")], ..arrival(name) };
    let names: Vec<String> = (0..50).map(|number| format!("n{number}-")).collect();
    journal.accept_all(names.iter().map(|name| called(name)).collect()).unwrap();
    // More texts than are listed, and longer ones.
    let many = (0..100).map(|number| number.to_string()).chain(["patient many".to_owned()]).collect();
    journal.accept(RequestArrival { lookup_texts: many, ..arrival("many") }).unwrap();
    let asked = std::cell::RefCell::new(Vec::new());
    let find = |text: &str| -> Vec<String> {
        let reader = JournalReader::open(state.path()).unwrap();
        asked.borrow_mut().clear();
        let texts = |request: &Request| {
            asked.borrow_mut().push(request.name.clone());
            vec![format!("patient {}", request.name)]
        };
        reader.find(text, &texts).unwrap().into_iter().map(|row| row.name).collect()
    };
    assert_eq!(find("patient n7-"), ["n7-"]);
    assert_eq!(*asked.borrow(), ["n7-", "many"], "of the others it is known what they are called");
    assert_eq!(find("patient many"), ["many"]);
    assert_eq!((find("n7-"), find("7")), (vec!["n7-".to_owned()], vec!["n6-".to_owned()]));
    assert_eq!(find("n4").len(), 11, "a part of a name");
    let id = arrival("n7-").request.id.to_string();
    assert_eq!(find(&id[..12]), ["n7-"]);
    assert!(find("nobody").is_empty() && find("").is_empty());
    let (number, all) = (8, RetentionLimits { age_max: Duration::ZERO, bytes_max: 0 });
    let receipt = journal.receipt(&journal.history(number).unwrap().unwrap()).unwrap();
    journal.append(&receipt, JournalEntry::Answered).unwrap();
    journal.collect(all, &|_, _| Ok(())).unwrap();
    assert!(find("patient n7-").is_empty(), "it is forgotten");
}

#[test]
fn requests_of_earlier_formats_are_found_by_what_their_source_calls_them() {
    for format in [1, 2] {
        let state = of_format(format);
        let find = || {
            let reader = JournalReader::open(state.path()).unwrap();
            let found =
                reader.find("patient two", &|request| vec![format!("patient {}", request.name)]).unwrap();
            found.into_iter().map(|row| row.name).collect::<Vec<String>>()
        };
        assert_eq!(find(), ["two"], "format {format}");
        drop(open(state.path()).unwrap());
        assert_eq!(find(), ["two"], "format {format}, brought to the newest");
    }
}
