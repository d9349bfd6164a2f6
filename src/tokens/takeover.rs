//! Taking over the places of workers that are lost.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::claim::ClaimedToken;
use super::entry::read_entry;
use super::finish::{FinishedToken, TokenEnd, finish_tokens};
use super::name::TokenName;
use super::rename::{is_same_file, open_plain, rename_new};
use super::stage_folder::{StageFolder, TokenError, names};
use super::token::{StageToken, TokenEntry, TokenEvent};
use super::work_place::{LEASE, WorkPlace, boot, remove_drafts};

/// What an observer knows about the leases beside a stage.
pub struct LeaseWatch {
    stage: StageFolder,
    lapse: Duration,
    seen: BTreeMap<OsString, SeenLease>,
}

struct SeenLease {
    bytes: Vec<u8>,
    /// When it was seen to have changed, on this process's clock that never jumps.
    since: Instant,
}

/// Leases are shorter.
const LEASE_BYTES_MAX: u64 = 4_096;

/// A token that was in work when this many workers in a row were lost is parked: it may be the cause.
const LOST_MAX: usize = 10;

/// The tokens of a place that was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Tokens that wait for the stage again.
    pub back: usize,
    /// Tokens whose work had been recorded, and that have gone on.
    pub forward: usize,
}

impl LeaseWatch {
    /// An observer for which a lease lapses when it has not changed for so long.
    pub fn new(stage: &StageFolder, lapse: Duration) -> LeaseWatch {
        LeaseWatch { stage: stage.clone(), lapse, seen: BTreeMap::new() }
    }

    /// Looks at all leases, and takes over the places of those that have lapsed: what was in work there waits again,
    /// or goes on where the work had been recorded.
    ///
    /// # Errors
    /// If the directory cannot be read or tokens cannot be moved. What was not moved is taken over again later.
    pub fn look(&mut self, own: &WorkPlace, now: Instant) -> Result<TakenOver, TokenError> {
        let work = self.stage.work();
        let places: Vec<OsString> = names(&work)?.collect();
        self.seen.retain(|name, _| places.contains(name));
        let mut taken = TakenOver::default();
        for name in places.into_iter().filter(|name| work.join(name) != own.folder()) {
            let place = work.join(&name);
            let Some(lapse) = self.lapse(&name, &place, now) else { continue };
            let place = WorkPlace::taken(&self.stage, &place)?;
            // The lock of a dead owner is held until the new lease is there, so that nobody else takes the place.
            drop(lapse);
            if let Some(place) = place {
                let one = settle(place)?;
                taken = TakenOver { back: taken.back + one.back, forward: taken.forward + one.forward };
            }
        }
        Ok(taken)
    }

    fn lapse(&mut self, name: &OsString, place: &Path, now: Instant) -> Option<LapsedLease> {
        let lease = place.join(LEASE);
        let bytes = read_lease(&lease).unwrap_or_default();
        let is_here = !boot().is_empty() && String::from_utf8_lossy(&bytes).contains(boot());
        if let Some(lock) = is_here.then(|| lock(&lease)).flatten() {
            return Some(LapsedLease { _lock: Some(lock) });
        }
        let seen = self.seen.entry(name.clone());
        let seen = seen.or_insert_with(|| SeenLease { bytes: bytes.clone(), since: now });
        if seen.bytes != bytes {
            *seen = SeenLease { bytes, since: now };
        }
        let has_lapsed = now.saturating_duration_since(seen.since) >= self.lapse;
        has_lapsed.then_some(LapsedLease { _lock: None })
    }
}

/// The beginning of a lease, whatever somebody has put into its place.
fn read_lease(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_plain(path)?.take(LEASE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A lease that has lapsed, locked if its owner has ended on this machine.
struct LapsedLease {
    _lock: Option<File>,
}

/// The lock of a lease whose owner on this machine has ended.
fn lock(lease: &Path) -> Option<File> {
    let file = open_plain(lease).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// Moves all tokens of a place on or back, and removes it.
fn settle(place: WorkPlace) -> Result<TakenOver, TokenError> {
    let mut taken = TakenOver::default();
    let mut back = Vec::new();
    let entries: Vec<OsString> = names(place.folder())?.collect();
    for entry in entries {
        let path = place.folder().join(&entry);
        // Where a rename takes two steps, a claim may have ended between them.
        if is_same_file(&path, &place.stage().waiting().join(&entry)).unwrap_or(false) {
            fs::remove_file(&path).map_err(TokenError::of("put back", &path))?;
            taken.back += 1;
            continue;
        }
        let token = TokenName::read(&entry).ok().and_then(|name| {
            let token = read_entry(&path, &name).ok()?.ok()?;
            Some(ClaimedToken { name, token })
        });
        match token {
            Some(claimed) => match decided(&place, &claimed.token) {
                Some(to) => {
                    move_on(&path, &to)?;
                    taken.forward += 1;
                }
                None => back.push(claimed),
            },
            // No token: the next claim says so.
            None => move_on(&path, &place.stage().waiting().join(&entry))?,
        }
    }
    taken.back += back.len();
    // Those of the lost worker, which may still write into them.
    remove_drafts(place.folder())?;
    put_back(&place, back)?;
    remove_drafts(place.folder())?;
    Ok(taken)
}

/// The place where a token was to go when its worker was lost: its work is done and recorded. A fault and a wait are
/// not taken for granted: the stage looks at the token again.
fn decided(place: &WorkPlace, token: &StageToken) -> Option<PathBuf> {
    let is_done = |entry: &&TokenEntry| matches!(entry.event, TokenEvent::Done | TokenEvent::Chosen);
    let last = token.log.last().filter(|entry| entry.by == place.owner()).filter(is_done)?;
    let to = Path::new(last.to.as_deref()?);
    let stays = to.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    stays.then(|| place.stage().root().join(to))
}

fn move_on(from: &Path, to: &Path) -> Result<(), TokenError> {
    let failed = TokenError::of("move", from);
    to.parent().map_or(Ok(()), fs::create_dir_all).map_err(&failed)?;
    let mut target = to.to_owned();
    for number in 2.. {
        match rename_new(from, &target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let mut name = to.as_os_str().to_owned();
                name.push(format!("~duplicate-{number}"));
                target = name.into();
            }
            renamed => return renamed.map_err(&failed),
        }
    }
    Ok(())
}

fn put_back(place: &WorkPlace, claimed: Vec<ClaimedToken>) -> Result<(), TokenError> {
    let stage = place.stage().name().to_owned();
    let finished = claimed.into_iter().map(|claimed| {
        let lost = |entry: &&TokenEntry| entry.event == TokenEvent::TakenOver && entry.stage == stage;
        let times = claimed.token.log.iter().rev().take_while(lost).count() + 1;
        let (event, end) = match times {
            LOST_MAX.. => (TokenEvent::Failed, TokenEnd::Park("worker-lost".to_owned())),
            _ => (TokenEvent::TakenOver, TokenEnd::Back),
        };
        let text = format!("its worker was lost, {times} times in a row");
        FinishedToken { claimed, entry: TokenEntry::new(&stage, event, "", &text), end }
    });
    finish_tokens(place, finished.collect(), &[])?.into_iter().try_for_each(|placed| placed.map(drop))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::{ClaimOutcome, StageCount, TokenClaims};
    use super::*;

    const LAPSE: Duration = Duration::from_secs(30);

    fn stage(root: &Path) -> StageFolder {
        let stage = StageFolder::new(root, "01_incoming");
        WorkPlace::new(&stage).unwrap().make_tokens(["a", "b", "c"].map(StageToken::of)).unwrap();
        stage
    }

    fn claim(stage: &StageFolder, place: &WorkPlace) -> ClaimedToken {
        match TokenClaims::new(stage, place.owner()).next(place).unwrap() {
            ClaimOutcome::Token(claimed) => *claimed,
            other => panic!("{other:?}"),
        }
    }

    fn done(claimed: ClaimedToken) -> FinishedToken {
        let entry = TokenEntry::new("decrypt", TokenEvent::Done, "1", "");
        FinishedToken { claimed, entry, end: TokenEnd::Next("02_decrypted".to_owned()) }
    }

    #[test]
    fn a_slow_worker_whose_place_was_taken_over_moves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let stage = stage(root.path());
        let (slow, other) = (WorkPlace::new(&stage).unwrap(), WorkPlace::new(&stage).unwrap());
        let claimed = claim(&stage, &slow);
        let mut watch = LeaseWatch::new(&stage, LAPSE);
        let start = Instant::now();
        assert_eq!(watch.look(&other, start).unwrap(), TakenOver::default());
        // A lease that changes does not lapse, however the time of day jumps: none is looked at.
        slow.beat().unwrap();
        assert_eq!(watch.look(&other, start + LAPSE).unwrap(), TakenOver::default());
        assert_eq!(watch.look(&other, start + LAPSE * 2).unwrap(), TakenOver { back: 1, forward: 0 });
        assert_eq!(slow.beat().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(finish_tokens(&slow, vec![done(claimed)], &[]).unwrap_err().kind(), ErrorKind::NotFound);
        let count = StageCount::of(&stage).unwrap();
        assert_eq!((count.waiting, count.in_work), (3, 0));
        assert!(!root.path().join("02_decrypted").exists());
    }

    #[test]
    fn what_a_slow_worker_still_has_open_is_no_tokens_file_afterwards() {
        let root = tempfile::tempdir().unwrap();
        let stage = stage(root.path());
        let slow = WorkPlace::new(&stage).unwrap();
        let claimed = [claim(&stage, &slow), claim(&stage, &slow)];
        let open: Vec<File> = (0..3).map(|_| slow.drafts().write(b"half").unwrap().1).collect();
        let (other, start) = (WorkPlace::new(&stage).unwrap(), Instant::now());
        let mut watch = LeaseWatch::new(&stage, LAPSE);
        watch.look(&other, start).unwrap();
        assert_eq!(watch.look(&other, start + LAPSE).unwrap(), TakenOver { back: 2, forward: 0 });
        open.iter().for_each(|file| file.write_all_at(&[b'x'; 4_000], 0).unwrap());
        for ClaimedToken { name, token } in claimed {
            let text = fs::read(stage.waiting().join(name.as_str())).unwrap();
            let now: StageToken = serde_json::from_slice(&text).unwrap();
            assert_eq!(now.barcode, token.barcode);
        }
    }

    #[test]
    fn what_others_put_into_a_lost_place_holds_up_nothing() {
        let root = tempfile::tempdir().unwrap();
        let stage = stage(root.path());
        let lost = WorkPlace::new(&stage).unwrap();
        let claimed = claim(&stage, &lost);
        let (folder, outside) = (lost.folder().to_owned(), root.path().join("outside"));
        drop(lost);
        fs::write(&outside, "not flow's").unwrap();
        std::os::unix::fs::symlink(&outside, folder.join(".lease.new")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.join(".link")).unwrap();
        fs::create_dir(folder.join(".folder")).unwrap();
        let pipe = stage.work().join("another");
        fs::create_dir(&pipe).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, pipe.join(LEASE), rustix::fs::Mode::RWXU).unwrap();
        let own = WorkPlace::new(&stage).unwrap();
        let (mut watch, now) = (LeaseWatch::new(&stage, LAPSE), Instant::now());
        assert_eq!(watch.look(&own, now).unwrap(), TakenOver { back: 1, forward: 0 });
        watch.look(&own, now + LAPSE).unwrap();
        assert!(stage.waiting().join(claimed.name.as_str()).exists());
        assert_eq!(fs::read_to_string(&outside).unwrap(), "not flow's");
    }

    #[test]
    fn a_token_that_was_moved_away_by_hand_is_not_there_twice() {
        let root = tempfile::tempdir().unwrap();
        let stage = stage(root.path());
        let place = WorkPlace::new(&stage).unwrap();
        let (moved, kept) = (claim(&stage, &place), claim(&stage, &place));
        fs::rename(place.folder().join(moved.name.as_str()), root.path().join("by-hand")).unwrap();
        let name = kept.name.clone();
        let ends = finish_tokens(&place, vec![done(moved), done(kept)], &[]).unwrap();
        assert_eq!(ends[0].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(ends[1].as_ref().unwrap().name, name);
        let behind = names(&root.path().join("02_decrypted")).unwrap();
        assert_eq!(behind.collect::<Vec<_>>(), [name.as_str()]);
    }

    #[test]
    fn the_place_of_a_process_that_has_ended_is_taken_over_at_once() {
        let root = tempfile::tempdir().unwrap();
        let stage = stage(root.path());
        let lost = WorkPlace::new(&stage).unwrap();
        let name = claim(&stage, &lost).name;
        // Its end closes the lease, which unlocks it.
        drop(lost);
        let own = WorkPlace::new(&stage).unwrap();
        let taken = LeaseWatch::new(&stage, LAPSE).look(&own, Instant::now()).unwrap();
        assert_eq!(taken, TakenOver { back: 1, forward: 0 });
        let bytes = fs::read(stage.waiting().join(name.as_str())).unwrap();
        let token: StageToken = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(token.log.last().unwrap().event, TokenEvent::TakenOver);
        assert_eq!(names(&stage.work()).unwrap().count(), 1, "the empty place is removed");
    }

    #[test]
    fn a_claim_of_two_steps_that_ended_between_them_leaves_one_token() {
        let root = tempfile::tempdir().unwrap();
        let stage = stage(root.path());
        let lost = WorkPlace::new(&stage).unwrap();
        fs::hard_link(stage.waiting().join("a.json"), lost.folder().join("a.json")).unwrap();
        drop(lost);
        let own = WorkPlace::new(&stage).unwrap();
        let taken = LeaseWatch::new(&stage, LAPSE).look(&own, Instant::now()).unwrap();
        assert_eq!(taken, TakenOver { back: 1, forward: 0 });
        let count = StageCount::of(&stage).unwrap();
        assert_eq!((count.waiting, count.in_work, count.failed), (3, 0, 0));
    }

    #[test]
    fn work_that_was_recorded_is_not_done_again() {
        let root = tempfile::tempdir().unwrap();
        let stage = stage(root.path());
        let lost = WorkPlace::new(&stage).unwrap();
        let mut claimed = claim(&stage, &lost);
        // The record is there, and the worker was lost before the token moved.
        let mut entry = TokenEntry::new("decrypt", TokenEvent::Done, "1", "");
        lost.owner().clone_into(&mut entry.by);
        entry.to = Some(format!("02_decrypted/{}", claimed.name));
        claimed.token.log.push(entry);
        fs::write(lost.folder().join(claimed.name.as_str()), claimed.token.to_bytes()).unwrap();
        fs::write(lost.folder().join(".x.new"), "half").unwrap();
        drop(lost);
        let own = WorkPlace::new(&stage).unwrap();
        let taken = LeaseWatch::new(&stage, LAPSE).look(&own, Instant::now()).unwrap();
        assert_eq!(taken, TakenOver { back: 0, forward: 1 });
        assert!(root.path().join("02_decrypted").join(claimed.name.as_str()).exists());
    }

    #[test]
    fn a_token_that_loses_all_its_workers_is_parked() {
        let root = tempfile::tempdir().unwrap();
        let stage = StageFolder::new(root.path(), "01_incoming");
        WorkPlace::new(&stage).unwrap().make_tokens([StageToken::of("a")]).unwrap();
        for _ in 0..LOST_MAX {
            claim(&stage, &WorkPlace::new(&stage).unwrap());
            let own = WorkPlace::new(&stage).unwrap();
            LeaseWatch::new(&stage, LAPSE).look(&own, Instant::now()).unwrap();
        }
        assert!(stage.failed().join("a.json~worker-lost").exists());
    }
}
