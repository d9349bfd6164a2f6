//! The store of books: a folder, or a bucket of an S3-compatible service. The steps do not know which it is.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::calls::{
    BucketFile, BucketKey, BucketLimits, BucketPlace, ObjectBucket, check_endpoint, is_bucket,
};
use crate::step::{Call, CallFault, CancelToken, Digest, Fault, Parameter, Step};

use super::new_file::copy_new;
use super::place::{digest_of, storage};
use super::secret::SecretReference;

/// The parameter that says where the store is.
pub const STORE: &str = "store";

/// Where books are stored under their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BookStore {
    Folder(PathBuf),
    Bucket(BookBucket),
}

/// A bucket, and where the credentials for it are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookBucket {
    place: BucketPlace,
    credentials: SecretReference,
    gpg_home: Option<PathBuf>,
}

/// The time for a list of a bucket.
const LIST_TIME: Duration = Duration::from_secs(3_600);

/// The time for questions whether some books are there.
const HAS_TIME: Duration = Duration::from_secs(5);

/// Questions to a service at the same time.
const ASKING: usize = 8;

impl BookStore {
    /// The step with the parameters of a store.
    pub fn declare(step: Step) -> Step {
        let text = |name: &'static str| Parameter::text(name, "", &[]);
        let store = text(STORE).required().about("The folder that is the store, or `s3://BUCKET/PREFIX`.");
        let endpoint = text("endpoint").about("The URL of the service of a bucket. Without it, that of AWS.");
        let credentials = text("credentials").about(
            "Where KEY:SECRET for a bucket is: `file:PATH`, `env:NAME` or `gpg:PATH` (a file that gpg decrypts with the keys of `gpg_home`). Without it, in the environment, as AWS has it.",
        );
        step.parameter(store.checked(check_store))
            .parameter(endpoint.checked(check_endpoint))
            .parameter(text("region").about("The region of a bucket."))
            .parameter(credentials.checked(SecretReference::check))
            .parameter(text("gpg_home").about("The folder with the secret keys of gpg, for `credentials`."))
    }

    /// The store that a call is given.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(call: &Call) -> Result<BookStore, Fault> {
        BookStore::read(&|name| call.text(name).to_owned())
    }

    /// The store of these parameters.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(setting: &dyn Fn(&'static str) -> String) -> Result<BookStore, Fault> {
        let store = setting(STORE);
        if !is_bucket(&store) {
            return Ok(BookStore::Folder(store.into()));
        }
        let place = BucketPlace::read(&store, &setting("endpoint"), &setting("region"))?;
        let credentials = SecretReference::read(&setting("credentials"))?;
        let gpg_home = Some(setting("gpg_home")).filter(|home| !home.is_empty()).map(PathBuf::from);
        Ok(BookStore::Bucket(BookBucket { place, credentials, gpg_home }))
    }

    /// The path of a store as the file has it: a folder is below that of the row.
    pub fn located(root: &Path, store: &str) -> String {
        if is_bucket(store) { store.to_owned() } else { root.join(store).display().to_string() }
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            BookStore::Folder(folder) => Some(folder),
            BookStore::Bucket(_) => None,
        }
    }

    /// Puts a file under a name that is free. What has the name stays as it is.
    ///
    /// # Errors
    /// If it cannot be written; nothing is left of it.
    pub fn put(&self, name: &str, file: BucketFile, limits: BucketLimits) -> Result<(), CallFault> {
        match self {
            BookStore::Folder(folder) => {
                Ok(copy_new(file.path, &folder.join(name)).map_err(|error| storage(&error))?)
            }
            BookStore::Bucket(bucket) => bucket.open(limits)?.put(name, file),
        }
    }

    /// The digest and size of what is stored under a name, which is read for it; `None` if there is nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn digest_of(&self, name: &str, limits: BucketLimits) -> Result<Option<(Digest, u64)>, CallFault> {
        match self {
            BookStore::Folder(folder) => match digest_of(&folder.join(name)) {
                Ok(found) => Ok(Some(found)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(storage(&error).into()),
            },
            BookStore::Bucket(bucket) => bucket.open(limits)?.digest_of(name),
        }
    }

    /// Whether there is something under each of these names; `None` where a service does not say it now.
    pub fn has_each(&self, names: &[String]) -> Vec<Option<bool>> {
        match self {
            BookStore::Folder(folder) => names.iter().map(|name| Some(folder.join(name).exists())).collect(),
            BookStore::Bucket(bucket) => bucket.has_each(names),
        }
    }

    /// Calls `each` with every name under which something is stored, until it fails.
    ///
    /// # Errors
    /// If a service does not list them, and that of `each`. A folder that is not there has none.
    pub fn list(&self, each: &mut dyn FnMut(&str) -> Result<(), Fault>) -> Result<(), Fault> {
        match self {
            BookStore::Folder(folder) => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
                names.try_for_each(|name| each(&name))
            }
            BookStore::Bucket(bucket) => {
                let token = CancelToken::default();
                let bucket = bucket.open(BucketLimits::new(LIST_TIME, &token))?;
                bucket.list(each).map_err(|fault| fault.fault)
            }
        }
    }
}

fn check_store(store: &str) -> Result<(), String> {
    match is_bucket(store) {
        true => BucketPlace::read(store, "", "").map(drop).map_err(|fault| fault.reason),
        false => Ok(()),
    }
}

impl fmt::Display for BookStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BookStore::Folder(folder) => folder.display().fmt(f),
            BookStore::Bucket(bucket) => bucket.place.fmt(f),
        }
    }
}

impl BookBucket {
    fn open(&self, limits: BucketLimits) -> Result<ObjectBucket<'_>, Fault> {
        ObjectBucket::open(&self.place, self.key(limits.token)?.as_ref(), limits)
    }

    fn key(&self, token: &CancelToken) -> Result<Option<BucketKey>, Fault> {
        match &self.credentials {
            SecretReference::Empty => Ok(None),
            reference => {
                let secret = reference.open(self.gpg_home.as_deref(), token)?;
                BucketKey::read(secret.bytes()).map(Some)
            }
        }
    }

    fn has_each(&self, names: &[String]) -> Vec<Option<bool>> {
        let token = CancelToken::default();
        let Ok(key) = self.key(&token) else { return vec![None; names.len()] };
        let limits = BucketLimits::new(HAS_TIME, &token);
        let is_silent = AtomicBool::new(false);
        let has_all = |names: &[String]| {
            let bucket = ObjectBucket::open(&self.place, key.as_ref(), limits);
            let has = |name: &String| {
                let asked = bucket.as_ref().ok().filter(|_| !is_silent.load(Ordering::Relaxed));
                let answer = asked.and_then(|bucket| bucket.has(name).ok());
                // Where one question gets no answer, the others wait for another time.
                is_silent.fetch_or(answer.is_none(), Ordering::Relaxed);
                answer
            };
            names.iter().map(has).collect::<Vec<Option<bool>>>()
        };
        let mut answers = Vec::new();
        std::thread::scope(|scope| {
            let share = names.len().div_ceil(ASKING).max(1);
            let asked: Vec<_> = names.chunks(share).map(|names| scope.spawn(|| has_all(names))).collect();
            for one in asked {
                answers.extend(one.join().expect("a question does not panic"));
            }
        });
        answers
    }
}
