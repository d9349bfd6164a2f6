//! `flow run books`: tokens through directories, with faults, several processes, and kills.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flow::books::steps::modify_book::pack;
use flow::books::{BookServer, BookTroubles, SampleBooks};
use flow::dataflow::Dataflow;
use flow::step::CancelToken;
use flow::tokens::{StageToken, TokenEvent};
use rustix::fs::{CWD, RenameFlags, inotify, renameat_with};

use crate::run::Place;
use crate::support::peers::DEADLINE;
use crate::support::random::Dice;

const STAGES: [&str; 6] = ["download", "decrypt", "extract", "modify", "upload", "mark"];

/// A folder with a row, and a server of books with troubles.
struct RowScene {
    place: Place,
    books: SampleBooks,
    _server: BookServer,
}

impl RowScene {
    fn new(books: SampleBooks, troubles: BookTroubles) -> RowScene {
        let (place, server) = (Place::new(), BookServer::start(books, troubles).unwrap());
        let text = Dataflow::built_in("books").unwrap().replace("sample:/", &format!("{}/", server.url()));
        let text = text
            .replace("in_flight: 200", "in_flight: 40")
            .replace("first_delay: 200 ms", "first_delay: 5 ms");
        fs::write(place.path("row.yaml"), text).unwrap();
        RowScene { place, books, _server: server }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.place.path("flow-output").join(below)
    }

    fn names(&self, folder: &str) -> BTreeSet<String> {
        names(&self.path(folder))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.flow(&["run", "./row.yaml", "--lease", "2"]);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    fn assert_all_done(&self) {
        assert_all_done(self.books, &self.path("."), "");
    }
}

pub fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Each book is in exactly one place below `root`, done, and the store has it with the bytes that it has to have.
pub fn assert_all_done(books: SampleBooks, root: &Path, what: &str) {
    let expected: BTreeSet<String> = books.barcodes().map(|barcode| format!("{barcode}.json")).collect();
    assert_eq!(names(&root.join("07_done")), expected, "{what}");
    for folder in names(root) {
        let is_at_rest = folder == "07_done" || folder.starts_with('.') || folder == "done_bucket";
        let left = if is_at_rest { BTreeSet::new() } else { names(&root.join(&folder)) };
        let left: Vec<&String> = left.iter().filter(|name| name.contains(".json")).collect();
        assert!(left.is_empty(), "{what}: {folder}: {left:?}");
    }
    for barcode in books.barcodes() {
        let stored = fs::read(root.join(format!("done_bucket/{barcode}.tar.gz"))).unwrap();
        assert!(stored == bag(books, &barcode), "{what}: the store has other bytes of {barcode}");
        let token = fs::read(root.join(format!("07_done/{barcode}.json"))).unwrap();
        let token: StageToken = serde_json::from_slice(&token).unwrap();
        let done = token.log.iter().filter(|entry| entry.event == TokenEvent::Done);
        let done: Vec<&str> = done.map(|entry| entry.stage.as_str()).collect();
        assert_eq!(done, STAGES, "{what}: {barcode}: each stage has recorded its work once");
    }
}

/// The bag that a book becomes, made from its pages alone.
pub fn bag(books: SampleBooks, barcode: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in books.pages(barcode) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut bag = Vec::new();
    pack(folder.path(), barcode, &mut bag, &CancelToken::default()).unwrap();
    bag
}

/// A moment before one looks again.
fn look_again(end: Instant, what: &str) {
    assert!(Instant::now() < end, "{what}");
    std::thread::park_timeout(Duration::from_millis(20));
}

/// Counts how often each key of a store was made.
struct StoreWatch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, u64>>,
}

impl StoreWatch {
    fn start(store: &Path) -> StoreWatch {
        fs::create_dir_all(store).unwrap();
        let inotify = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&inotify, store, events).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut made = BTreeMap::<String, u64>::new();
            let mut buffer = [MaybeUninit::uninit(); 1 << 16];
            loop {
                let is_over = over.load(Ordering::Acquire);
                let mut reader = inotify::Reader::new(&inotify, &mut buffer);
                while let Ok(event) = reader.next() {
                    assert!(!event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW));
                    let name = event.file_name().unwrap().to_str().unwrap();
                    if !name.starts_with('.') {
                        *made.entry(name.to_owned()).or_default() += 1;
                    }
                }
                if is_over {
                    return made;
                }
                std::thread::yield_now();
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        StoreWatch { ended, thread }
    }

    fn end(self) -> BTreeMap<String, u64> {
        self.ended.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

#[test]
fn sample_books_go_all_the_way_and_the_backlog_is_counted() {
    let place = Place::new();
    let barcodes: Vec<String> = SampleBooks::USUAL.barcodes().take(9).collect();
    let mut arguments = vec!["run", "books", "--books"];
    arguments.extend(barcodes.iter().map(String::as_str));
    let ended = place.run(&arguments);
    assert_eq!(ended.code, 0, "{}\n{}", ended.out, ended.err);
    assert!(ended.out.contains("9 books are done, 0 under way, 0 parked"), "{}", ended.out);
    for barcode in &barcodes {
        let stored =
            fs::read(place.path("flow-output/done_bucket").join(format!("{barcode}.tar.gz"))).unwrap();
        assert!(stored == bag(SampleBooks::USUAL, barcode));
    }
    assert!(!place.path("flow-output/processing_bucket").join(&barcodes[0]).exists());
    // The store has a book that no token is of, and lacks one that a token is of.
    let store = place.path("flow-output/done_bucket");
    fs::rename(store.join(format!("{}.tar.gz", barcodes[0])), store.join("strange.tar.gz")).unwrap();
    fs::create_dir_all(place.path("flow-output/.inventory")).unwrap();
    let list: String = barcodes.iter().chain([&"new".to_owned()]).map(|one| format!("{one}\n")).collect();
    fs::write(place.path("flow-output/.inventory/all_books"), list).unwrap();
    let counted = place.run(&["backlog", "--json"]);
    let numbers: serde_json::Value = serde_json::from_str(&counted.out).unwrap();
    let expected = serde_json::json!({
        "available": 10, "backlog": 1, "chosen-not-stored": 1, "converted": 9, "failed": 0, "in-flight": 0,
        "stored": 9, "stored-not-chosen": 1,
    });
    assert_eq!(numbers, expected);
    for (number, listed) in
        [("backlog", "new"), ("chosen-not-stored", &barcodes[0]), ("stored-not-chosen", "strange")]
    {
        assert_eq!(place.run(&["backlog", "--list", number]).out, format!("{listed}\n"));
    }
}

#[test]
fn a_wrong_digest_parks_the_token_and_a_retry_runs_it_again() {
    let troubles =
        BookTroubles { damage_every: 4, truncate_every: 5, fail_every: 7, ..BookTroubles::default() };
    let scene = RowScene::new(SampleBooks { count: 12, bytes: 4_000 }, troubles);
    let ended = scene.place.run(&["run", "./row.yaml"]);
    assert_eq!(ended.code, 1, "{}\n{}", ended.out, ended.err);
    let mut parked = scene.names("01_incoming.failed");
    assert!(
        !parked.is_empty() && parked.iter().all(|name| name.ends_with(".json~wrong-digest")),
        "{parked:?}"
    );
    for round in 0.. {
        if parked.is_empty() {
            break;
        }
        assert!(round < 20, "{parked:?} are damaged each time");
        let retried = scene.place.run(&["retry", "wrong-digest", "--row", "flow-output"]);
        assert_eq!(retried.code, 0, "{}", retried.err);
        scene.place.run(&["run", "./row.yaml"]);
        parked = scene.names("01_incoming.failed");
    }
    scene.assert_all_done();
}

/// Four processes on the same directories, of which one after the other is killed with SIGKILL: whole rows and single
/// stages. FLOW_BOOK_KILLS says how often, FLOW_BOOKS how many books there are.
#[test]
fn each_book_ends_in_one_place_and_is_stored_once_whichever_process_is_killed() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |value| value.parse().unwrap());
    let (kills, count) = (number("FLOW_BOOK_KILLS", 16), number("FLOW_BOOKS", 80));
    let troubles = BookTroubles { fail_every: 31, truncate_every: 17, ..BookTroubles::default() };
    let scene = RowScene::new(SampleBooks { count, bytes: 4_000 }, troubles);
    let watch = StoreWatch::start(&scene.path("done_bucket"));
    let roles: [&[&str]; 4] = [
        &["--end", "signal"],
        &["--only", "download", "--only", "decrypt"],
        &["--only", "extract", "--only", "modify"],
        &["--end", "signal"],
    ];
    let mut processes: Vec<Child> = roles.iter().map(|role| scene.start(role)).collect();
    let mut dice = Dice(14);
    let mut killed = 0;
    let is_done = || scene.names("07_done").len() as u64 == count;
    while killed < kills && !is_done() {
        // Sooner or later in a start, in a claim, in a group that is synced.
        let pause = Instant::now() + Duration::from_millis(60 + dice.next() % 900);
        while Instant::now() < pause {
            std::thread::park_timeout(pause.saturating_duration_since(Instant::now()));
        }
        let victim = dice.below(processes.len());
        processes[victim].kill().unwrap();
        processes[victim].wait().unwrap();
        processes[victim] = scene.start(roles[victim]);
        killed += 1;
    }
    for mut process in processes {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let ended = scene.place.run(&["run", "./row.yaml"]);
    assert_eq!(ended.code, 0, "{}\n{}", ended.out, ended.err);
    println!("{killed} kills");
    scene.assert_all_done();
    let stored = watch.end();
    assert_eq!(stored.len() as u64, count);
    assert!(stored.values().all(|times| *times == 1), "{stored:?}");
}

/// A running row answers for its backlog from what it keeps; after a kill it is counted anew, with the same numbers.
#[test]
fn the_backlog_that_is_kept_is_that_of_a_recount_also_after_a_kill() {
    let scene = RowScene::new(SampleBooks { count: 15, bytes: 2_000 }, BookTroubles::default());
    let mut process = scene.start(&["--end", "signal"]);
    let numbers = || {
        let counted = scene.place.run(&["backlog", "./row.yaml", "--json"]);
        serde_json::from_str::<serde_json::Value>(&counted.out).unwrap_or_default()
    };
    let end = Instant::now() + DEADLINE;
    while numbers()["converted"] != 15 {
        look_again(end, &numbers().to_string());
    }
    let kept = fs::read_to_string(scene.path(".backlog")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!((numbers(), &kept["stored"], &kept["backlog"]), (kept.clone(), &15.into(), &0.into()));
}

/// Runs a row one directory of which is of no use for a time, once some tokens have gone through. `take` takes the
/// directory away, `give` gives it back. `held` acts once a token of the stage before it has its work recorded and cannot
/// go on.
fn with_a_lost_directory(
    start: fn(&RowScene) -> Child,
    [take, give]: [fn(&RowScene); 2],
    held: impl FnOnce(&mut Child),
) {
    const BOOKS: usize = 120;
    let scene = RowScene::new(SampleBooks { count: BOOKS as u64, bytes: 2_000 }, BookTroubles::default());
    let mut process = RowProcess(start(&scene));
    let end = Instant::now() + DEADLINE;
    while scene.names("07_done").len() < 3 {
        assert_eq!(process.0.try_wait().unwrap(), None, "it has ended");
        look_again(end, "nothing comes of it");
    }
    take(&scene);
    let is_held = |place: &String| {
        let tokens = scene.names(&format!("04_extracted.work/{place}"));
        tokens.iter().filter(|name| !name.starts_with('.')).any(|name| {
            let text = fs::read(scene.path(&format!("04_extracted.work/{place}/{name}"))).unwrap_or_default();
            let token = serde_json::from_slice::<StageToken>(&text).unwrap_or_default();
            token.log.last().is_some_and(|entry| entry.stage == "modify" && entry.event == TokenEvent::Done)
        })
    };
    while !scene.names("04_extracted.work").iter().any(is_held) {
        look_again(end, "no token is held up");
    }
    held(&mut process.0);
    give(&scene);
    if process.0.try_wait().unwrap().is_none() {
        while scene.names("07_done").len() < BOOKS {
            look_again(end, "not all are done");
        }
    }
    drop(process);
    let ended = scene.place.run(&["run", "./row.yaml"]);
    assert_eq!(ended.code, 0, "{}\n{}", ended.out, ended.err);
    scene.assert_all_done();
}

/// A file takes the place of the directory, or gives it back, in one step: flow makes a directory that it lacks.
fn exchange(scene: &RowScene) {
    let (directory, aside) = (scene.path("05_modified"), scene.path(".aside"));
    if !aside.exists() {
        fs::write(&aside, "no directory").unwrap();
    }
    renameat_with(CWD, &aside, CWD, &directory, RenameFlags::EXCHANGE).unwrap();
}

fn until_a_signal(scene: &RowScene) -> Child {
    scene.start(&["--end", "signal"])
}

/// Starts flow without the right to pass over permissions, where this user has it.
fn under_permissions(scene: &RowScene) -> Child {
    let flow = scene.command(&["--end", "signal"]);
    if !rustix::process::geteuid().is_root() {
        return until_a_signal(scene);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search"]).arg(flow.get_program());
    command.args(flow.get_args()).current_dir(flow.get_current_dir().unwrap());
    for (name, value) in flow.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn permit(scene: &RowScene, mode: u32) {
    fs::set_permissions(scene.path("05_modified"), fs::Permissions::from_mode(mode)).unwrap();
}

/// Closes the directory at a moment at which a token waits in it, if one is found soon.
fn close(scene: &RowScene) {
    for _ in 0..2_000 {
        permit(scene, 0o500);
        if scene.names("05_modified").iter().any(|name| name.ends_with(".json")) {
            return;
        }
        permit(scene, 0o700);
        std::thread::yield_now();
    }
    permit(scene, 0o500);
}

#[test]
fn tokens_whose_directory_is_no_directory_wait_for_it() {
    with_a_lost_directory(until_a_signal, [exchange; 2], |process| {
        assert!(process.try_wait().unwrap().is_none());
    });
}

#[test]
fn a_row_that_cannot_move_its_tokens_ends_when_it_is_told_to() {
    with_a_lost_directory(until_a_signal, [exchange; 2], |process| {
        terminate(process);
        process.wait().unwrap();
    });
}

#[test]
fn tokens_whose_directory_may_not_be_written_wait_for_it() {
    let permissions: [fn(&RowScene); 2] = [close, |scene| permit(scene, 0o700)];
    with_a_lost_directory(under_permissions, permissions, |process| {
        assert!(process.try_wait().unwrap().is_none());
    });
}

pub fn terminate(process: &Child) {
    let number = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn a_stage_that_is_told_to_end_leaves_nothing_in_work() {
    let scene = RowScene::new(SampleBooks { count: 200, bytes: 2_000 }, BookTroubles::default());
    let mut process = scene.start(&[]);
    let end = Instant::now() + DEADLINE;
    while scene.names("07_done").len() < 5 {
        look_again(end, "nothing comes of it");
    }
    terminate(&process);
    assert_eq!(process.wait().unwrap().code(), Some(0));
    for folder in scene.names(".").iter().filter(|folder| folder.ends_with(".work")) {
        assert_eq!(scene.names(folder), BTreeSet::new(), "{folder}");
    }
    assert!(scene.names("07_done").len() < 200, "it has ended before it was told to");
}

/// The first book gets through while all others wait for the rate of downloads; at the end they wait again.
#[test]
fn a_limited_stage_holds_up_no_other_and_its_tokens_wait_again_at_the_end() {
    let scene = RowScene::new(SampleBooks { count: 30, bytes: 2_000 }, BookTroubles::default());
    let row = fs::read_to_string(scene.place.path("row.yaml")).unwrap();
    fs::write(scene.place.path("slow.yaml"), row.replace("{barcode}\"", "{barcode}\", per_minute: 0.1"))
        .unwrap();
    let mut process = RowProcess(scene.place.flow(&["run", "./slow.yaml"]).spawn().unwrap());
    let end = Instant::now() + DEADLINE;
    while scene.names("07_done").is_empty() {
        look_again(end, "nothing comes of it");
    }
    terminate(&process.0);
    let status = loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            break status;
        }
        look_again(end, "it does not end");
    };
    assert_eq!(status.code(), Some(0));
    assert_eq!((scene.names("01_incoming").len(), scene.names("07_done").len()), (29, 1));
    let ended = scene.place.run(&["run", "./row.yaml"]);
    assert_eq!(ended.code, 0, "{}\n{}", ended.out, ended.err);
    scene.assert_all_done();
}

/// A process that ends with the test.
struct RowProcess(Child);

impl Drop for RowProcess {
    fn drop(&mut self) {
        // Nearly always it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_graph_shows_the_directories_on_the_edges() {
    let drawn = Place::new().run(&["graph", "books", "--format", "dot"]).out;
    for directory in ["01_incoming", "02_downloaded", "06_uploaded", "07_done"] {
        assert!(drawn.contains(&format!("token in {directory}\"")), "{drawn}");
    }
}

#[test]
fn a_stage_that_is_not_there_is_named_and_a_watch_shows_the_row() {
    let place = Place::new();
    let ended = place.run(&["run", "books", "--only", "decript"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("the stages are download, decrypt"), "{}", ended.err);
    let shown = place.run(&["run", "books", "--watch"]).out;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].contains("in work") && lines.iter().any(|line| line.starts_with("upload ")), "{shown}");
}

#[test]
fn an_option_that_would_do_nothing_is_refused() {
    let place = Place::new();
    for (arguments, named) in [
        (["run", "books", "--page", "1"], "--page"),
        (["run", "books", "--to", "ORTHANC@127.0.0.1:1"], "--to"),
        (["run", "ct-lung", "--only", "decrypt"], "--only"),
    ] {
        let ended = place.run(&arguments);
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains(named) && ended.err.contains("would do nothing"), "{}", ended.err);
    }
    assert!(!place.path("flow-output").exists(), "nothing was begun");
}
