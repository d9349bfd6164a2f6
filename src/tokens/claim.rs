//! Claims: the next token of a directory becomes this worker's by a rename.
//!
//! The directory is read as a stream that goes round, a few names at a time, so that a claim costs the same however
//! many tokens there are. Each worker takes the names of a group in an order of its own, so that two seldom try the
//! same one; the one that comes second finds it gone.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, ReadDir};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use crate::step::Digest;

use super::entry::{EntryFault, read_entry};
use super::name::{NameFault, TokenName, parkable, reason_slug};
use super::rename::{rename_new, write_new};
use super::stage_folder::{StageFolder, TokenError, is_hidden};
use super::token::StageToken;
use super::work_place::WorkPlace;

/// Names that are read at a time.
const GROUP: usize = 512;

/// Entries that cannot be claimed and are remembered, so that they are tried and told once in a while.
const STUCK_MAX: usize = 10_000;

/// The time before such an entry is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// A token that a worker has claimed: it lies in the worker's place.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedToken {
    pub name: TokenName,
    pub token: StageToken,
}

/// What the search for a token has found.
#[derive(Debug)]
pub enum ClaimOutcome {
    Token(Box<ClaimedToken>),
    /// An entry that is no token was parked.
    Parked {
        name: String,
        fault: String,
    },
    /// An entry that cannot be moved: it stays, and is tried again after a minute.
    Stuck {
        name: String,
        fault: String,
    },
    /// There is no token in the directory.
    Nothing,
}

/// The tokens of a directory, one after the other.
pub struct TokenClaims {
    stage: StageFolder,
    entries: Option<ReadDir>,
    group: Vec<OsString>,
    seed: String,
    /// When they were tried last.
    stuck: HashMap<OsString, Instant>,
}

impl TokenClaims {
    pub fn new(stage: &StageFolder, owner: &str) -> TokenClaims {
        let (stage, seed) = (stage.clone(), owner.to_owned());
        TokenClaims { stage, entries: None, group: Vec::new(), seed, stuck: HashMap::new() }
    }

    /// Claims the next token. `Nothing` means that one whole round found none.
    ///
    /// # Errors
    /// If the directory cannot be read, or the worker's place is gone.
    pub fn next(&mut self, place: &WorkPlace) -> Result<ClaimOutcome, TokenError> {
        let mut is_new_round = self.entries.is_none();
        loop {
            while let Some(entry) = self.group.pop() {
                if let Some(outcome) = self.claim(&entry, place)? {
                    return Ok(outcome);
                }
            }
            if !self.fill()? {
                if is_new_round {
                    return Ok(ClaimOutcome::Nothing);
                }
                is_new_round = true;
            }
        }
    }

    /// Reads the next names; `false` at the end of the directory.
    fn fill(&mut self) -> Result<bool, TokenError> {
        let folder = self.stage.waiting();
        let failed = TokenError::of("read", &folder);
        let entries = match &mut self.entries {
            Some(entries) => entries,
            None => self.entries.insert(fs::read_dir(&folder).map_err(&failed)?),
        };
        let mut has_more = false;
        for entry in entries.by_ref().take(GROUP) {
            has_more = true;
            let name = entry.map_err(&failed)?.file_name();
            let is_stuck = self.stuck.get(&name).is_some_and(|tried| tried.elapsed() < AGAIN);
            if !is_hidden(&name) && !is_stuck {
                self.group.push(name);
            }
        }
        if !has_more {
            self.entries = None;
        }
        let seed = self.seed.as_bytes();
        self.group.sort_by_cached_key(|name| Digest::of_parts([seed, name.as_encoded_bytes()]));
        Ok(has_more)
    }

    /// `None` if the entry is gone.
    fn claim(&mut self, entry: &OsString, place: &WorkPlace) -> Result<Option<ClaimOutcome>, TokenError> {
        let from = self.stage.waiting().join(entry);
        let name = match TokenName::read(entry) {
            Ok(name) => name,
            Err(fault) => return self.refuse(&from, entry, &refusal(fault)).map(Some),
        };
        let to = place.folder().join(name.as_str());
        match rename_new(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Either the token is another worker's by now, or this worker's place is.
                fs::symlink_metadata(place.folder()).map_err(TokenError::of("use", place.folder()))?;
                return Ok(None);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let fault = "duplicate: the same token is in work";
                return self.refuse(&from, entry, fault).map(Some);
            }
            Err(error) => {
                // A directory that may not be written to for a time holds up all of its tokens: it is tried again.
                let waiting = self.stage.waiting();
                let closed = [&*waiting, place.folder()].into_iter().find(|folder| is_closed(folder));
                return match closed {
                    Some(folder) => Err(TokenError::of("write to", folder)(error)),
                    None => self.stick(entry, &error).map(Some),
                };
            }
        }
        // A disk that cannot read it now may not read it later either.
        let read = read_entry(&to, &name).unwrap_or_else(|error| Err(format!("unreadable: {error}")));
        match read {
            Ok(token) => Ok(Some(ClaimOutcome::Token(Box::new(ClaimedToken { name, token })))),
            Err(fault) => {
                let refused = self.refuse(&to, entry, &fault);
                if !matches!(refused, Ok(ClaimOutcome::Parked { .. })) {
                    // It cannot be parked, and nothing else looks at it here.
                    let _ = rename_new(&to, &from);
                }
                refused.map(Some)
            }
        }
    }

    /// Parks what is no token, as it is. The reason is in its name and, as what it is cannot be written to, in a file
    /// beside it.
    fn refuse(&mut self, from: &Path, entry: &OsString, fault: &str) -> Result<ClaimOutcome, TokenError> {
        match park_raw(&self.stage, from, entry, fault) {
            Ok(name) => Ok(ClaimOutcome::Parked { name, fault: fault.to_owned() }),
            Err(error) if is_closed(&self.stage.failed()) => {
                Err(TokenError::of("write to", &self.stage.failed())(error))
            }
            Err(error) => self.stick(entry, &error),
        }
    }

    fn stick(&mut self, entry: &OsString, error: &io::Error) -> Result<ClaimOutcome, TokenError> {
        let stays = matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput);
        if !stays || self.stuck.len() >= STUCK_MAX {
            let path = self.stage.waiting().join(entry);
            let source = io::Error::new(error.kind(), error.to_string());
            return Err(TokenError { what: "claim", path, source });
        }
        self.stuck.insert(entry.clone(), Instant::now());
        Ok(ClaimOutcome::Stuck { name: parkable(entry), fault: error.to_string() })
    }
}

/// Whether this process may not write to a directory that is there.
fn is_closed(folder: &Path) -> bool {
    let rights = Access::WRITE_OK | Access::EXEC_OK;
    matches!(accessat(CWD, folder, rights, AtFlags::EACCESS), Err(Errno::ACCESS | Errno::PERM))
}

fn refusal(fault: NameFault) -> EntryFault {
    format!("hostile name: {fault}")
}

/// Moves what is no token to the parked ones. Gives the name that it has there.
pub(super) fn park_raw(
    stage: &StageFolder,
    from: &Path,
    entry: &OsString,
    fault: &str,
) -> io::Result<String> {
    let folder = stage.failed();
    fs::create_dir_all(&folder)?;
    let base = format!("{}~{}", parkable(entry), reason_slug(fault));
    let mut name = base.clone();
    for number in 2.. {
        match rename_new(from, &folder.join(&name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => name = format!("{base}-{number}"),
            moved => {
                moved?;
                break;
            }
        }
    }
    write_new(&folder.join(format!(".{name}.reason")), format!("{fault}\n").as_bytes())?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::symlink;

    use super::super::{
        FinishedToken, TokenEnd, TokenEntry, TokenEvent, finish_tokens, list_parked, retry_parked,
    };
    use super::*;

    #[test]
    fn hostile_entries_are_parked_with_a_reason_and_stop_nothing() {
        let root = tempfile::tempdir().unwrap();
        let stage = StageFolder::new(root.path(), "01_incoming");
        let place = WorkPlace::new(&stage).unwrap();
        place.make_tokens([StageToken::of("sound")]).unwrap();
        let path = |name: &str| stage.waiting().join(name);
        fs::write(path("empty.json"), " \n").unwrap();
        fs::write(path("half.json"), "{\"barcode\": \"ha").unwrap();
        fs::write(path("text.json"), "hello").unwrap();
        fs::write(path("list.json"), "[1, 2]").unwrap();
        fs::write(path("other.json"), StageToken::of("another").to_bytes()).unwrap();
        fs::write(path("sound.json~copy"), StageToken::of("sound").to_bytes()).unwrap();
        fs::write(path("a\nb.json"), "{}").unwrap();
        fs::write(path("readme.txt"), "read me").unwrap();
        fs::write(stage.waiting().join(OsString::from_vec(b"\xff.json".to_vec())), "{}").unwrap();
        symlink("/etc/passwd", path("link.json")).unwrap();
        fs::create_dir(path("folder.json")).unwrap();
        fs::write(path("folder.json/inside"), "kept").unwrap();
        fs::File::create(path("huge.json")).unwrap().set_len(1 << 30).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        fs::write(path(".being-written.json"), "{").unwrap();

        let mut claims = TokenClaims::new(&stage, "worker");
        let mut tokens = Vec::new();
        loop {
            match claims.next(&place).unwrap() {
                ClaimOutcome::Token(claimed) => tokens.push(claimed.name.to_string()),
                ClaimOutcome::Parked { .. } => {}
                ClaimOutcome::Stuck { name, fault } => panic!("{name}: {fault}"),
                ClaimOutcome::Nothing => break,
            }
        }
        assert_eq!(tokens, ["sound.json"]);
        let parked: BTreeSet<String> = list_parked(&stage)
            .unwrap()
            .into_iter()
            .map(|parked| parked.file.into_string().unwrap())
            .collect();
        let expected = [
            "%FF.json~hostile-name",
            "a%0Ab.json~hostile-name",
            "empty.json~empty",
            "folder.json~directory",
            "half.json~half-written",
            "huge.json~too-large",
            "link.json~link",
            "list.json~no-token",
            "other.json~wrong-name",
            "pipe.json~no-file",
            "readme.txt~hostile-name",
            "sound.json~duplicate",
            "text.json~not-json",
        ];
        assert_eq!(parked, expected.map(str::to_owned).into());
        assert_eq!(fs::read_to_string(stage.failed().join("folder.json~directory/inside")).unwrap(), "kept");
        let reason = fs::read_to_string(stage.failed().join(".huge.json~too-large.reason")).unwrap();
        assert!(reason.contains("1073741824"), "{reason}");
        assert!(path(".being-written.json").exists());
    }

    /// Four workers that share the tokens of a directory, as threads.
    #[test]
    fn each_token_is_claimed_once_however_many_workers_there_are() {
        const TOKENS: usize = 600;
        let root = tempfile::tempdir().unwrap();
        let stage = StageFolder::new(root.path(), "01_incoming");
        let barcodes = (0..TOKENS).map(|number| StageToken::of(format!("ark.88435.x{number}")));
        assert_eq!(WorkPlace::new(&stage).unwrap().make_tokens(barcodes).unwrap(), TOKENS);
        let work = || {
            let place = WorkPlace::new(&stage).unwrap();
            let mut claims = TokenClaims::new(&stage, place.owner());
            let mut done = Vec::new();
            while let ClaimOutcome::Token(claimed) = claims.next(&place).unwrap() {
                let claimed = *claimed;
                done.push(claimed.name.clone());
                let entry = TokenEntry::new("decrypt", TokenEvent::Done, "1", "");
                let end = TokenEnd::Next("02_decrypted".to_owned());
                let one = finish_tokens(&place, vec![FinishedToken { claimed, entry, end }], &[]);
                one.unwrap().pop().unwrap().unwrap();
            }
            done
        };
        let done: Vec<TokenName> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        assert_eq!(done.len(), TOKENS);
        assert_eq!(done.into_iter().collect::<BTreeSet<_>>().len(), TOKENS);
        assert_eq!(fs::read_dir(root.path().join("02_decrypted")).unwrap().count(), TOKENS);
    }

    #[test]
    fn a_parked_token_runs_again_from_where_it_was_by_command_or_by_hand() {
        let root = tempfile::tempdir().unwrap();
        let stage = StageFolder::new(root.path(), "01_incoming");
        let place = WorkPlace::new(&stage).unwrap();
        place.make_tokens(["a", "b"].map(StageToken::of)).unwrap();
        let mut claims = TokenClaims::new(&stage, place.owner());
        for _ in 0..2 {
            let ClaimOutcome::Token(claimed) = claims.next(&place).unwrap() else { panic!("a token") };
            let entry = TokenEntry::new("decrypt", TokenEvent::Failed, "1", "wrong digest: 1 is not 2");
            let end = TokenEnd::Park("wrong-digest".to_owned());
            finish_tokens(&place, vec![FinishedToken { claimed: *claimed, entry, end }], &[]).unwrap();
        }
        let text = fs::read_to_string(stage.failed().join("a.json~wrong-digest")).unwrap();
        assert!(text.contains("wrong digest: 1 is not 2"), "the reason is inside, too: {text}");
        let parked = list_parked(&stage).unwrap();
        let a = parked.iter().find(|parked| parked.name().unwrap().barcode() == "a").unwrap();
        assert!(retry_parked(&stage, a).unwrap());
        let by_hand = stage.failed().join("b.json~wrong-digest");
        fs::rename(by_hand, stage.waiting().join("b.json~wrong-digest")).unwrap();
        let mut again = BTreeSet::new();
        while let ClaimOutcome::Token(claimed) = claims.next(&place).unwrap() {
            again.insert(claimed.name.to_string());
        }
        assert_eq!(again, ["a.json", "b.json"].map(str::to_owned).into());
    }
}
