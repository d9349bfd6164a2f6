//! Books through all six stages, beside a shell script that does the same work for each of them with `curl`, `gpg` and
//! `tar`: without a record, without syncing, and lost where it is stopped.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flow::books::{BookServer, BookTroubles, SampleBooks};
use flow::dataflow::Dataflow;

const STAGES: [&str; 6] = ["download", "decrypt", "extract", "modify", "upload", "mark"];
const BYTES: usize = 100_000;

/// Takes the barcode of a book, and the server's address.
const SCRIPT: &str = r#"
set -e
curl --silent --fail --output "$1.gpg" "$2/books/$1"
gpg --batch --quiet --pinentry-mode loopback --passphrase 'sample books' --output "$1.tar" --decrypt "$1.gpg"
mkdir "$1"
tar --extract --file "$1.tar" --directory "$1"
(cd "$1" && find . -type f -exec sha256sum {} + > ../"$1.manifest" && mv ../"$1.manifest" manifest-sha256.txt)
tar --create --gzip --file "store/$1.tar.gz" --directory "$1" .
rm -r "$1" "$1.tar" "$1.gpg"
"#;

/// Prints books a second of the script and of one and of four processes of flow.
pub fn measure(folder: &Path, count: u64) {
    println!("\n{count} books of {BYTES} bytes through all stages, books a second");
    let shell = script(&folder.join("script"), count);
    println!("{:>24}{shell:>10.1}", "a script, 2 at once");
    for processes in [1, 4] {
        let rate = row(&folder.join(format!("row-{processes}")), count, processes);
        println!(
            "{:>24}{rate:>10.1}   {:.2} of the script's time",
            format!("flow, {processes} at once"),
            shell / rate
        );
    }
}

fn server(count: u64) -> (SampleBooks, BookServer) {
    let books = SampleBooks { count, bytes: BYTES };
    (books, BookServer::start(books, BookTroubles::default()).expect("there is a free port"))
}

fn script(folder: &Path, count: u64) -> f64 {
    let (books, server) = server(count);
    fs::create_dir_all(folder.join("store")).expect("a folder");
    let barcodes: String = books.barcodes().map(|barcode| format!("{barcode}\n")).collect();
    fs::write(folder.join("barcodes"), barcodes).expect("a file");
    let began = Instant::now();
    let mut all = Command::new("xargs");
    all.args(["-a", "barcodes", "-P", "2", "-I", "BARCODE"]);
    all.args(["sh", "-c", SCRIPT, "sh", "BARCODE", &server.url()]);
    let status = all.current_dir(folder).status().expect("xargs is there");
    let stored = fs::read_dir(folder.join("store")).expect("the store").count() as u64;
    assert!(status.success() && stored == count, "{stored} of {count} books are stored: {status}");
    count as f64 / began.elapsed().as_secs_f64()
}

fn row(folder: &Path, count: u64, processes: usize) -> f64 {
    let (_, server) = server(count);
    fs::create_dir_all(folder).expect("a folder");
    let text = Dataflow::built_in("books").expect("flow carries it");
    fs::write(folder.join("row.yaml"), text.replace("sample:/", &format!("{}/", server.url())))
        .expect("a file");
    let start = |only: &[&str]| -> Child {
        let mut flow = Command::new(env!("CARGO_BIN_EXE_flow"));
        flow.args(["run", "./row.yaml"]).args(only.iter().flat_map(|stage| ["--only", *stage]));
        flow.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("flow starts")
    };
    let began = Instant::now();
    let mut first = start(&[]);
    let mut others: Vec<Child> = (1..processes).map(|_| start(&STAGES)).collect();
    let status = first.wait().expect("it is a child");
    let took = began.elapsed();
    for other in &mut others {
        let _ = Command::new("kill").args(["-TERM", &other.id().to_string()]).status();
        let _ = other.wait();
    }
    let stored = fs::read_dir(folder.join("flow-output/done_bucket")).expect("the store");
    let stored =
        stored.flatten().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")).count();
    assert!(status.success() && stored as u64 == count, "{stored} of {count} books are stored: {status}");
    count as f64 / took.max(Duration::from_millis(1)).as_secs_f64()
}
