//! Books through a row of directories.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use flow::books::{BookServer, BookTroubles, SampleBooks};
use flow::dataflow::Dataflow;

use super::program::KilledProgram;
use super::{PATIENCE, SoakAccount, SoakPlan, TOKENS_AN_HOUR};

pub const NAME: &str = "books";
const OUTPUT: &str = "books-output";
/// The bytes of a book.
const BYTES: usize = 4_000;

/// The books, and the server that has them.
pub struct BookRow {
    books: SampleBooks,
    _server: BookServer,
}

/// The process that works on all stages.
pub fn program(plan: &SoakPlan) -> (Arc<KilledProgram>, BookRow) {
    let books = SampleBooks { count: plan.share(TOKENS_AN_HOUR), bytes: BYTES };
    let troubles = BookTroubles { fail_every: 31, truncate_every: 17, ..BookTroubles::default() };
    let server = BookServer::start(books, troubles).expect("there is a free port");
    // They arrive over the whole time, as from a service that limits its callers.
    let rate = books.count * 60 / plan.time.as_secs() + 1;
    let text = Dataflow::built_in("books").expect("flow carries it");
    let text = text.replace("sample:/", &format!("{}/", server.url()));
    let text = text.replace("{to: 02_downloaded,", &format!("{{to: 02_downloaded, per_minute: {rate},"));
    fs::write(plan.folder.join("row.yaml"), text).expect("the folder can be written");
    let arguments = ["run", "./row.yaml", "--output", OUTPUT, "--end", "signal"];
    (Arc::new(KilledProgram::new(NAME, plan.folder.clone(), &arguments)), BookRow { books, _server: server })
}

impl BookRow {
    pub fn run(&self, plan: &SoakPlan) -> SoakAccount {
        let root = plan.folder.join(OUTPUT);
        let end = plan.begin + plan.time + PATIENCE;
        let mut done = names(&root.join("07_done"));
        while (done.len() as u64) < self.books.count && Instant::now() < end {
            thread::sleep(Duration::from_secs(1));
            done = names(&root.join("07_done"));
            plan.tokens.store(done.len(), Ordering::Relaxed);
        }
        let mut faults = Vec::new();
        let expected: BTreeSet<String> =
            self.books.barcodes().map(|barcode| format!("{barcode}.json")).collect();
        faults.extend(expected.difference(&done).map(|name| format!("{name} is not done")));
        faults.extend(
            done.difference(&expected).map(|name| format!("{name} is done, and nobody asked for it")),
        );
        let stored = names(&root.join("done_bucket"));
        let archives: BTreeSet<String> =
            self.books.barcodes().map(|barcode| format!("{barcode}.tar.gz")).collect();
        faults.extend(archives.difference(&stored).map(|name| format!("{name} is not stored")));
        for folder in names(&root).iter().filter(|name| *name != "07_done" && *name != "done_bucket") {
            let left = names(&root.join(folder)).into_iter().filter(|name| name.contains(".json"));
            faults.extend(left.map(|name| format!("{folder}/{name} is left")));
        }
        SoakAccount { part: NAME, asked: self.books.count, answered: done.len() as u64, faults }
    }
}

/// The names in a folder that do not begin with a dot.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| !name.starts_with('.')).collect()
}
