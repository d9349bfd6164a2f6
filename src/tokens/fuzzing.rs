//! Entry point for the target in `fuzz`: what others put into a directory of tokens.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::name::parkable;
use super::stage_folder::names;
use super::{
    ClaimOutcome, FinishedToken, StageCount, StageFolder, TokenClaims, TokenEnd, TokenEntry, TokenEvent,
    TokenName, WorkPlace, finish_tokens, list_parked, list_tokens, reason_slug, release_due, retry_parked,
};

/// The name of a file, a zero, and its content. The file is claimed, parked and put back; it may not get lost, and
/// nothing may lie elsewhere. Good is what is a token.
pub fn token(root: &Path, bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return false };
    let (name, content) = (OsStr::from_bytes(&bytes[..end]), &bytes[end + 1..]);
    // No entry of a directory is called so.
    if name.is_empty() {
        return false;
    }
    check_names(name, content);
    // Only what a directory can have goes on.
    let is_file_name = matches!(
        Path::new(name).components().collect::<Vec<_>>().as_slice(),
        [Component::Normal(only)] if *only == name
    );
    if !is_file_name || name.len() > 255 || name.as_bytes().starts_with(b".") {
        return false;
    }
    let stage = StageFolder::new(root, "01_incoming");
    let place = WorkPlace::new(&stage).expect("the folder can be written");
    fs::write(stage.waiting().join(name), content).expect("the folder can be written");
    let is_token = claimed(&stage, &place);
    if is_token {
        let parked = list_parked(&stage).expect("the folder can be read");
        let [parked] = parked.as_slice() else { panic!("one is parked: {parked:?}") };
        assert!(retry_parked(&stage, parked).expect("it can be moved"), "it is a token");
        assert!(claimed(&stage, &place), "it is still one");
    }
    release_due(&stage, 0).expect("the folder can be read");
    list_tokens(&stage, |barcode, _| check_barcode(barcode)).expect("the folder can be read");
    let count = StageCount::of(&stage).expect("the folder can be read");
    assert_eq!((count.failed, count.moving()), (1, 0), "nothing is lost, and nothing stays");
    let stages: Vec<_> = names(root).expect("the folder can be read").collect();
    assert!(stages.iter().all(|stage| stage.as_bytes().starts_with(b"01_incoming")), "{stages:?}");
    is_token
}

/// Names that are made of what others wrote lead nowhere.
fn check_names(name: &OsStr, content: &[u8]) {
    if let Ok(name) = TokenName::read(name) {
        check_barcode(name.barcode());
        assert_eq!(TokenName::of(name.barcode()), Ok(name));
    }
    let safe = [parkable(name), reason_slug(&String::from_utf8_lossy(content))];
    for name in safe {
        check_barcode(&name);
        assert!(name.len() <= 200, "there is room for more behind it: {name}");
    }
}

fn check_barcode(name: &str) {
    let parts: Vec<Component> = Path::new(name).components().collect();
    assert!(matches!(parts.as_slice(), [Component::Normal(only)] if *only == OsStr::new(name)), "{name:?}");
    assert!(!name.starts_with(['.', '-']) && !name.contains(char::is_control), "{name:?}");
}

/// Claims all that waits, and parks what is a token; whether there was one.
fn claimed(stage: &StageFolder, place: &WorkPlace) -> bool {
    let mut claims = TokenClaims::new(stage, place.owner());
    let mut is_token = false;
    loop {
        match claims.next(place).expect("the folder can be read") {
            ClaimOutcome::Token(claimed) => {
                is_token = true;
                let reason = claimed.token.log.last().map_or("fault", |entry| entry.text.as_str());
                let entry = TokenEntry::new("look", TokenEvent::Failed, "1", reason);
                let end = TokenEnd::Park(reason_slug(reason));
                let token = FinishedToken { claimed: *claimed, entry, end };
                let placed = finish_tokens(place, vec![token], &[]).expect("the folder can be written");
                assert!(placed.iter().all(Result::is_ok), "it has moved");
            }
            ClaimOutcome::Parked { fault, .. } => assert!(!fault.is_empty()),
            ClaimOutcome::Stuck { name, fault } => panic!("{name}: {fault}"),
            ClaimOutcome::Nothing => return is_token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_directories_do_no_harm() {
        crate::fuzzed::check_in_folder("token", token);
    }
}
