//! Files that others collected: pydicom's and highdicom's odd ones, and the WG-04 set where it is there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::referee::{Account, judge, transfer_syntax};
use crate::support::data::Data;

/// Every file with pixels in an archive, against its referee.
fn judged(archive: &str) -> Option<Account> {
    let data = Data::unpack(archive)?;
    let mut by_syntax: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in data.files("") {
        if let Some(syntax) = transfer_syntax(&path) {
            by_syntax.entry(syntax).or_default().push(path);
        }
    }
    let mut account = Account::default();
    for (syntax, paths) in by_syntax {
        for (path, verdict) in paths.iter().zip(judge(&syntax, &paths)) {
            let name = path.strip_prefix(data.path()).expect("it is in the archive");
            account.enter(&syntax, &name.display().to_string(), verdict);
        }
    }
    println!("{archive}\n{account}");
    Some(account)
}

#[test]
fn odd_files_decode_to_the_referees_bytes() {
    let Some(account) = judged("odd-files") else { return };
    assert_eq!(account.wrong, [""; 0]);
    assert!(account.equal() > 0, "something was judged");
}

#[test]
fn known_good_files_decode_to_the_referees_bytes() {
    let Some(account) = judged("known-good") else { return };
    assert_eq!(account.wrong, [""; 0]);
}

/// The compressed and reference images of the DICOM working group 4, as `wg-04.tar.xz`.
#[test]
fn the_working_groups_files_decode_to_the_referees_bytes() {
    let Some(account) = judged("wg-04") else { return };
    assert_eq!(account.wrong, [""; 0]);
    assert!(account.equal() > 0, "something was judged");
}
