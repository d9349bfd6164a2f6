//! `flow run books` with a bucket as its store, on two servers that speak S3.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flow::books::{BookServer, BookTroubles, SampleBooks};
use flow::dataflow::Dataflow;

use crate::books::{bag, names, terminate};
use crate::run::Place;
use crate::support::buckets::{BUCKET, BucketServer, FrontDeed, KEY, MotoServer, S3sServer};
use crate::support::peers::until;

const FEW: SampleBooks = SampleBooks { count: 6, bytes: 4_000 };

/// Its bag is larger than the smallest part that S3 takes.
const LARGE: SampleBooks = SampleBooks { count: 1, bytes: 14_000_000 };

/// A folder with a row whose store is a bucket.
struct BucketScene {
    place: Place,
    books: SampleBooks,
    _server: BookServer,
}

impl BucketScene {
    fn new(books: SampleBooks, endpoint: &str) -> BucketScene {
        let (place, server) = (Place::new(), BookServer::start(books, BookTroubles::default()).unwrap());
        fs::write(place.path("key"), format!("{KEY}\n")).unwrap();
        let store = format!(
            "store: \"s3://{BUCKET}/shelf/one\", endpoint: \"{endpoint}\", credentials: \"file:{}\"",
            place.path("key").display()
        );
        let row = Dataflow::built_in("books").unwrap();
        let row =
            row.replace("sample:/", &format!("{}/", server.url())).replace("store: done_bucket", &store);
        let row = row.replacen(&store, &format!("{store}, part_mib: 5"), 1);
        fs::write(place.path("row.yaml"), row).unwrap();
        BucketScene { place, books, _server: server }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.place.path("flow-output").join(below)
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.place.flow(&["run", "./row.yaml", "--lease", "2"]);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn assert_runs(&self) {
        let ended = self.place.run(&["run", "./row.yaml"]);
        assert_eq!(ended.code, 0, "{}\n{}", ended.out, ended.err);
    }

    fn key(barcode: &str) -> String {
        format!("shelf/one/{barcode}.tar.gz")
    }

    /// Each token is done, and the bucket has each book once with its bytes, and nothing else.
    fn assert_all_stored(&self, server: &mut impl BucketServer) {
        let done: Vec<String> = self.books.barcodes().map(|barcode| format!("{barcode}.json")).collect();
        assert_eq!(Vec::from_iter(names(&self.path("07_done"))), done);
        let bags = self.books.barcodes().map(|barcode| (Self::key(&barcode), bag(self.books, &barcode)));
        assert_same(&server.objects(), &bags.collect());
        assert_eq!(server.open_uploads(), 0);
        assert!(!self.path("processing_bucket").join(&done[0]).exists());
        assert!(!self.path("s3:").exists(), "a folder was made of the bucket");
    }

    fn backlog(&self) -> serde_json::Value {
        let counted = self.place.run(&["backlog", "./row.yaml", "--json"]);
        serde_json::from_str(&counted.out).unwrap_or_else(|error| panic!("{error}: {}", counted.err))
    }

    /// The reason for which the only parked token behind the upload is parked, and all that its file says.
    fn parked(&self) -> Option<(String, String)> {
        let folder = self.path("05_modified.failed");
        let name = names(&folder).into_iter().find(|name| name.contains(".json~"))?;
        let reason = name.split_once('~').unwrap().1.to_owned();
        Some((reason, fs::read_to_string(folder.join(name)).ok()?))
    }
}

/// Whether objects are the same, without showing all their bytes.
fn assert_same(objects: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(Vec::from_iter(objects.keys()), Vec::from_iter(expected.keys()));
    for (key, bytes) in objects {
        assert!(*bytes == expected[key], "{key} has other bytes");
    }
}

fn books_go_into_a_bucket(server: &mut impl BucketServer) {
    let scene = BucketScene::new(FEW, server.url());
    scene.assert_runs();
    scene.assert_all_stored(server);
    server.put("shelf/one/strange.tar.gz", "x");
    for elsewhere in ["shelf/two.tar.gz", "shelf/one/deep/three.tar.gz", "four.tar.gz", "shelf/one/notes.txt"]
    {
        server.put(elsewhere, "x");
    }
    let numbers = scene.backlog();
    let counted =
        ["converted", "stored", "stored-not-chosen", "chosen-not-stored"].map(|name| &numbers[name]);
    assert_eq!(counted, [6, 7, 1, 0], "{numbers}");
}

#[test]
fn books_go_into_a_bucket_of_s3s() {
    let mut server = S3sServer::start();
    books_go_into_a_bucket(&mut server);
    assert_eq!(server.asked("PUT /"), 6, "each book was put once");
}

#[test]
fn books_go_into_a_bucket_of_moto() {
    let Some(mut server) = MotoServer::start() else { return };
    books_go_into_a_bucket(&mut server);
}

fn what_has_the_key_is_not_replaced(server: &mut impl BucketServer) {
    let scene = BucketScene::new(SampleBooks { count: 1, ..FEW }, server.url());
    let key = BucketScene::key(&scene.books.barcodes().next().unwrap());
    server.put(&key, "other");
    assert_eq!(scene.place.run(&["run", "./row.yaml"]).code, 1);
    let (reason, token) = scene.parked().unwrap();
    assert_eq!(reason, "other-content", "{token}");
    assert_same(&server.objects(), &BTreeMap::from([(key, b"other".to_vec())]));
}

#[test]
fn what_has_the_key_in_a_bucket_of_s3s_is_not_replaced() {
    what_has_the_key_is_not_replaced(&mut S3sServer::start());
}

#[test]
fn what_has_the_key_in_a_bucket_of_moto_is_not_replaced() {
    let Some(mut server) = MotoServer::start() else { return };
    what_has_the_key_is_not_replaced(&mut server);
}

/// The object comes between the question whether it is there, and the write.
#[test]
fn what_comes_first_stays_under_the_condition_of_the_write() {
    for (books, write) in [(SampleBooks { count: 1, ..FEW }, "PUT /"), (LARGE, "POST /")] {
        let mut server = S3sServer::start();
        let scene = BucketScene::new(books, server.url());
        let key = BucketScene::key(&books.barcodes().next().unwrap());
        server.put(&key, "other");
        server.front(
            |asked| if asked.starts_with("HEAD /") { FrontDeed::Refuse(404, "") } else { FrontDeed::Pass },
        );
        scene.place.run(&["run", "./row.yaml"]);
        let (reason, token) = scene.parked().unwrap();
        assert_eq!(reason, "other-content", "{token}");
        assert!(server.asked(write) > 0);
        assert_same(&server.objects(), &BTreeMap::from([(key, b"other".to_vec())]));
        assert_eq!(server.open_uploads(), 0);
    }
}

fn a_large_book_goes_in_parts(server: &mut impl BucketServer) {
    let scene = BucketScene::new(LARGE, server.url());
    scene.assert_runs();
    scene.assert_all_stored(server);
}

#[test]
fn a_large_book_goes_into_a_bucket_of_s3s_in_parts() {
    let mut server = S3sServer::start();
    a_large_book_goes_in_parts(&mut server);
    assert!(server.asked("PUT /library/shelf/one/") > 1);
}

#[test]
fn a_large_book_goes_into_a_bucket_of_moto_in_parts() {
    let Some(mut server) = MotoServer::start() else { return };
    a_large_book_goes_in_parts(&mut server);
}

#[test]
fn an_upload_in_parts_that_fails_leaves_nothing() {
    let mut server = S3sServer::start();
    let scene = BucketScene::new(LARGE, server.url());
    server.front(|asked| match asked.contains("partNumber=2") {
        true => FrontDeed::Refuse(400, "InvalidRequest"),
        false => FrontDeed::Pass,
    });
    assert_eq!(scene.place.run(&["run", "./row.yaml"]).code, 1);
    let (reason, token) = scene.parked().unwrap();
    assert!(reason == "refused" && token.contains("status 400, InvalidRequest"), "{token}");
    assert_eq!((server.open_uploads(), server.objects().len()), (0, 0));
    server.front(|_| FrontDeed::Pass);
    assert_eq!(scene.place.run(&["retry", "all", "--row", "flow-output"]).code, 0);
    scene.assert_runs();
    scene.assert_all_stored(&mut server);
}

#[test]
fn a_busy_service_is_asked_again() {
    let mut server = S3sServer::start();
    let scene = BucketScene::new(SampleBooks { count: 2, ..FEW }, server.url());
    let left = AtomicUsize::new(3);
    server.front(move |asked| {
        let is_busy = asked.starts_with("PUT /")
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_busy { FrontDeed::Refuse(503, "SlowDown") } else { FrontDeed::Pass }
    });
    scene.assert_runs();
    scene.assert_all_stored(&mut server);
}

/// The first process stores the book and is killed before it can know.
#[test]
fn a_book_that_was_stored_before_a_kill_is_there_once() {
    for (books, write) in [(SampleBooks { count: 1, ..FEW }, "PUT /"), (LARGE, "POST /library/shelf/one/")] {
        let mut server = S3sServer::start();
        let scene = BucketScene::new(books, server.url());
        let is_stored = Arc::new(AtomicBool::new(false));
        let swallowed = Arc::clone(&is_stored);
        server.front(move |asked| {
            let is_write = asked.starts_with(write) && !asked.contains("?uploads");
            if is_write && !swallowed.swap(true, Ordering::Relaxed) {
                FrontDeed::Swallow
            } else {
                FrontDeed::Pass
            }
        });
        let mut process = scene.start(&[]);
        let stored = bag(books, &books.barcodes().next().unwrap());
        until("the book is stored", || {
            let is_asked = is_stored.load(Ordering::Relaxed);
            (is_asked && server.objects().values().any(|object| *object == stored)).then_some(())
        });
        process.kill().unwrap();
        process.wait().unwrap();
        let written = server.asked(write);
        scene.assert_runs();
        scene.assert_all_stored(&mut server);
        assert_eq!(server.asked(write), written, "it was stored again");
    }
}

#[test]
fn a_row_that_is_told_to_end_does_not_wait_for_a_silent_service() {
    let server = S3sServer::start();
    let scene = BucketScene::new(SampleBooks { count: 1, ..FEW }, server.url());
    server.front(|asked| if asked.starts_with("HEAD /") { FrontDeed::Hold } else { FrontDeed::Pass });
    let row = fs::read_to_string(scene.place.path("row.yaml")).unwrap();
    let row = row.replace("timeout: 1 h", "timeout: 200 ms");
    fs::write(scene.place.path("row.yaml"), row).unwrap();
    let mut process = scene.start(&["--end", "signal"]);
    until("the book waits", || (!names(&scene.path("05_modified.later")).is_empty()).then_some(()));
    terminate(&process);
    assert_eq!(process.wait().unwrap().code(), Some(0));
    let later = scene.path("05_modified.later");
    let token = fs::read_to_string(later.join(names(&later).first().unwrap())).unwrap();
    assert!(token.contains("no answer in time"), "{token}");
}

#[test]
fn a_wrong_secret_is_a_fault_that_does_not_show_it() {
    let server = S3sServer::start();
    let scene = BucketScene::new(SampleBooks { count: 1, ..FEW }, server.url());
    server.front(|asked| match asked.starts_with("PUT /") {
        true => FrontDeed::Refuse(400, "InvalidRequest"),
        false => FrontDeed::Pass,
    });
    assert_eq!(scene.place.run(&["run", "./row.yaml"]).code, 1);
    fs::write(scene.place.path("key"), "reader:wrong/secret").unwrap();
    assert_eq!(scene.place.run(&["retry", "all", "--row", "flow-output"]).code, 0);
    let mut process = scene.start(&["--only", "upload"]);
    let (reason, token) = until("the token is parked", || scene.parked());
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(reason == "no-access" && token.contains(BUCKET), "{token}");
    assert!(!token.contains("wrong/secret"), "{token}");
    let counted = scene.place.run(&["backlog", "./row.yaml"]);
    assert!(counted.code != 0 && counted.err.contains("no access"), "{}", counted.err);
    assert!(!counted.err.contains("wrong/secret"), "{}", counted.err);
}

#[test]
fn more_books_than_a_page_are_counted() {
    let mut server = S3sServer::start();
    let scene = BucketScene::new(FEW, server.url());
    for number in 0..1_500 {
        server.put(&format!("shelf/one/book-{number}.tar.gz"), "x");
    }
    assert_eq!(scene.backlog()["stored"], 1_500);
    assert_eq!(server.asked("GET /library?"), 2);
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let server = S3sServer::start();
    let scene = BucketScene::new(SampleBooks { count: 1, ..FEW }, server.url());
    let row = fs::read_to_string(scene.place.path("row.yaml")).unwrap();
    fs::write(scene.place.path("row.yaml"), row.replace("s3://library/", "s3://libary/")).unwrap();
    let counted = scene.place.run(&["backlog", "./row.yaml"]);
    assert!(counted.code != 0 && counted.err.contains("has no bucket libary"), "{}", counted.err);
    fs::write(scene.place.path("row.yaml"), row.replace("s3://library/", "s3://library//")).unwrap();
    let ended = scene.place.run(&["run", "./row.yaml"]);
    assert!(ended.code != 0 && ended.err.contains("the parameter \"store\": bad store"), "{}", ended.err);
}

/// A running row answers for the backlog from what it keeps: of the bucket, what it has asked for.
#[test]
fn the_backlog_of_a_running_row_is_that_of_a_recount() {
    let mut server = S3sServer::start();
    let scene = BucketScene::new(FEW, server.url());
    server.put("shelf/one/strange.tar.gz", "x");
    let mut process = scene.start(&["--end", "signal"]);
    until("all are done", || (scene.backlog()["converted"] == 6).then_some(()));
    let kept = until("all are counted", || {
        let kept = fs::read(scene.path(".backlog")).unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&kept).ok()?;
        (kept["stored"] == 7).then_some(kept)
    });
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(scene.backlog(), kept);
}
