//! What fuzzing looked for and found, gone through in every `cargo test`: seeds are good, and finds do no harm.

use std::fs;
use std::path::Path;

/// The files of a folder of the project; of one that is not there, none.
fn inputs(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

/// Runs a target with its seeds, which have to be good, or they lead nowhere; and with what was found once.
pub fn check(name: &str, target: impl Fn(&[u8]) -> bool) {
    let seeds = inputs(&format!("fuzz/seeds/{name}"));
    assert!(!seeds.is_empty(), "there are no seeds for {name}");
    for (path, bytes) in seeds {
        assert!(target(&bytes), "{path}");
    }
    for (path, bytes) in inputs(&format!("tests/fuzzed/{name}")) {
        println!("{path}");
        target(&bytes);
    }
}

/// As [`check`], each input in a folder of its own.
pub fn check_in_folder(name: &str, target: impl Fn(&Path, &[u8]) -> bool) {
    check(name, |bytes| target(tempfile::tempdir().unwrap().path(), bytes));
}
