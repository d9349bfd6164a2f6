//! Steps in processes that do not see the store of the process with the request: what is brought there, and back.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::journal::{ValuePlace, small_files};
use crate::printable::with_causes;
use crate::step::{Digest, Digester, Item, ItemPlace, Request};
use crate::store::Store;

use super::remote_step::{
    CarriedInput, CarriedValue, RemoteStep, RemoteStepEnd, RemoteStepKey, StepValue, ValuePiece,
};

/// Fetches values of steps from the process that has their requests.
pub trait ValueSource: Send + Sync {
    /// A value of a step that runs here; `None` if the connection ends, or the value is not there.
    fn fetch(&self, key: &RemoteStepKey, value: StepValue) -> Option<Vec<u8>>;
}

/// The digests of all that the outputs of a step have in its store.
pub fn outputs(end: &RemoteStepEnd) -> BTreeSet<Digest> {
    let mut content = end.content.as_slice();
    let mut stored = BTreeSet::new();
    for output in &end.record.outputs {
        match &output.kept {
            ValuePlace::No => {}
            ValuePlace::Here { bytes } => _ = content.split_off(..*bytes),
            ValuePlace::Stored { form } => _ = stored.insert(*form),
            ValuePlace::Files { artifacts } => {
                let here = small_files::take(artifacts, &mut content);
                let here: BTreeSet<Digest> = here.into_iter().map(|(artifact, _)| artifact.digest).collect();
                let there = artifacts.iter().map(|artifact| artifact.digest);
                stored.extend(there.filter(|digest| !here.contains(digest)));
            }
        }
    }
    stored
}

/// The values that a process without a common store needs for these inputs.
fn needed(inputs: &[CarriedInput], request: &Request) -> BTreeSet<StepValue> {
    let mut needed = BTreeSet::new();
    for carried in inputs {
        let values = match carried {
            CarriedInput::Absent => &[][..],
            CarriedInput::One(one) => std::slice::from_ref(one),
            CarriedInput::Each(each) => each,
        };
        for value in values {
            match value {
                CarriedValue::Here { .. } => {}
                CarriedValue::Request => needed.extend((0..request.items.len()).map(StepValue::Item)),
                CarriedValue::Item(index) => _ = needed.insert(StepValue::Item(*index)),
                CarriedValue::Stored { form } => _ = needed.insert(StepValue::Stored(*form)),
            }
        }
    }
    needed
}

/// The values that a process without a common store needs for a step, each with its bytes.
pub fn needed_bytes(step: &RemoteStep, store: &Store) -> Vec<(StepValue, u64)> {
    let bytes = |value: StepValue| match value {
        StepValue::Stored(form) => store.work_size(step.request.id, form).unwrap_or(0),
        StepValue::Item(index) => step.request.items.get(index).map_or(0, |item| item.size),
    };
    needed(&step.inputs, &step.request).into_iter().map(|value| (value, bytes(value))).collect()
}

/// A piece of a value of a request.
pub fn piece(
    request: &Request,
    value: StepValue,
    offset: u64,
    max: usize,
    store: &Store,
) -> Option<ValuePiece> {
    match value {
        StepValue::Stored(digest) => stored_piece(request.id, digest, offset, max, store),
        StepValue::Item(index) => {
            let item = request.items.get(index)?;
            if let Some(path) = item.path() {
                return file_piece(path, offset, max).ok();
            }
            let find = |digest| Some(store.work_path(request.id, digest)).filter(|path| path.exists());
            let in_response = |digest| Some(store.file(request.id, digest)).filter(|path| path.exists());
            let content = item.open_with(|digest| in_response(digest).or_else(|| find(digest))).ok()?;
            let begin = usize::try_from(offset).ok()?.min(content.len());
            let end = begin.saturating_add(max).min(content.len());
            let digest = (begin == 0).then(|| Digest::of(&content));
            Some(ValuePiece { total: content.len() as u64, digest, bytes: content[begin..end].to_vec() })
        }
    }
}

/// A piece of a file, which is read once more for the digest where it begins.
fn file_piece(path: &Path, offset: u64, max: usize) -> io::Result<ValuePiece> {
    let mut file = File::open(path)?;
    let total = file.metadata()?.len();
    let begin = offset.min(total);
    let left = usize::try_from(total - begin).unwrap_or(usize::MAX);
    let mut bytes = vec![0; left.min(max)];
    file.read_exact_at(&mut bytes, begin)?;
    let mut digester = Digester::default();
    let digest = match begin {
        0 => io::copy(&mut file, &mut digester).map(|_| Some(digester.digest()))?,
        _ => None,
    };
    Ok(ValuePiece { total, digest, bytes })
}

/// A piece of what is stored for a request.
pub fn stored_piece(
    request: Digest,
    digest: Digest,
    offset: u64,
    max: usize,
    store: &Store,
) -> Option<ValuePiece> {
    let (total, bytes) = store.piece(request, digest, offset, max)?;
    Some(ValuePiece { total, digest: None, bytes })
}

/// The values of a step, which are brought here when they are needed.
pub struct BroughtValues<'a> {
    pub key: RemoteStepKey,
    pub request: &'a Request,
    pub store: &'a Store,
    pub source: &'a dyn ValueSource,
    /// The bytes that were brought for this step.
    pub brought: &'a AtomicU64,
}

impl BroughtValues<'_> {
    /// Brings the inputs of a step. Gives it with the items in files of this process.
    ///
    /// # Errors
    /// The input that cannot be brought.
    pub fn bring(&self, step: &RemoteStep) -> Result<Arc<Request>, String> {
        let mut request = self.request.clone();
        for value in needed(&step.inputs, self.request) {
            match value {
                StepValue::Stored(form) => {
                    let (brought, short) = (self.stored(form, value), form.short());
                    brought.map_err(|why| format!("the value {short} cannot be brought here: {why}"))?;
                }
                StepValue::Item(index) => {
                    let Some(item) = request.items.get_mut(index) else {
                        return Err("it has no such item".to_owned());
                    };
                    if !matches!(item.place, ItemPlace::Inline(_)) {
                        let path = self.item(index, item);
                        let name = &item.name;
                        let path =
                            path.map_err(|why| format!("the item {name} cannot be brought here: {why}"))?;
                        item.place = ItemPlace::File(path);
                    }
                }
            }
        }
        Ok(Arc::new(request))
    }

    /// The file of an item, by the item's digest.
    pub fn path_of(&self, digest: Digest) -> Option<PathBuf> {
        let (index, item) = self.request.items.iter().enumerate().find(|(_, item)| item.digest == digest)?;
        self.item(index, item).ok()
    }

    fn item(&self, index: usize, item: &Item) -> Result<PathBuf, String> {
        self.stored(item.digest, StepValue::Item(index))
    }

    /// The file of a value in the store of this process.
    fn stored(&self, digest: Digest, value: StepValue) -> Result<PathBuf, String> {
        if self.store.work_size(self.request.id, digest).is_none() {
            let bytes = self.source.fetch(&self.key, value).ok_or("it did not come over the connection")?;
            self.brought.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let put = self.store.put_work(self.request.id, digest, &bytes);
            put.map_err(|error| with_causes(&error))?;
        }
        Ok(self.store.work_path(self.request.id, digest))
    }
}
