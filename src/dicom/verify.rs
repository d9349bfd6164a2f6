//! Whether what was sent is safe at the destination: it commits to it, or it is found there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

use dicom_dictionary_std::tags;

use crate::imaging::Part10;

use super::find::find;
use super::query::{Level, Query};
use super::web::{self, AskError};
use super::{Await, Cause, Destination, Object, Reference, SendError, commit};

/// A destination that commits to objects says so within this time, or is asked again.
pub const COMMITMENT_TIME: Duration = Duration::from_secs(60);

/// What became of objects at a destination, by SOP Instance UID: safe, or why not.
pub type Found = BTreeMap<String, Result<(), String>>;

/// Has the destination commit to the objects. `attempt` tells apart requests for the same ones.
///
/// # Errors
/// If it does not, or says nothing in time.
pub fn committed(
    node: &Destination,
    objects: &[Object],
    attempt: u64,
    answer: Await,
    time: Duration,
) -> Result<Found, SendError> {
    let references = objects.iter().map(|object| Reference {
        sop_class_uid: object.sop_class_uid().to_owned(),
        sop_instance_uid: object.sop_instance_uid().to_owned(),
    });
    let outcome = commit(node, &references.collect::<Vec<_>>(), attempt, answer, time)?;
    let safe = outcome.safe.into_iter().map(|one| (one.sop_instance_uid, Ok(())));
    let failed = outcome.failed.into_iter().map(|(one, reason)| {
        (one.sop_instance_uid, Err(format!("the destination does not commit to it (reason {reason:04X})")))
    });
    Ok(safe.chain(failed).collect())
}

/// Looks for the objects at a node (C-FIND). One that answers no queries, or none of ours, cannot be asked: its
/// answers to the objects are all there is, and they said that all is stored.
///
/// # Errors
/// If the node is not there.
pub fn found(node: &Destination, objects: &[Object]) -> Result<Found, SendError> {
    let mut there = BTreeSet::new();
    for (study, series) in series(objects) {
        let mut query = Query::study(&study, Level::Instance);
        query.keys.push((tags::SERIES_INSTANCE_UID, series));
        match find(node, &query) {
            Ok(found) => {
                there.extend(found.matches.iter().map(|one| one.text(tags::SOP_INSTANCE_UID).to_owned()));
            }
            Err(SendError {
                cause: Cause::NothingTaken | Cause::Rejected(_) | Cause::Answered(..), ..
            }) => {
                return Ok(believed(objects));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(looked_for(objects, &there))
}

/// Looks for the objects at a service (QIDO-RS).
///
/// # Errors
/// If the service cannot be asked.
pub fn found_over_web(node: &web::Node, objects: &[Object]) -> Result<Found, AskError> {
    let mut there = BTreeSet::new();
    for (study, series) in series(objects) {
        let query = web::Query {
            level: web::Level::Instances,
            study_instance_uid: Some(study),
            series_instance_uid: Some(series),
            ..web::Query::default()
        };
        match web::find(node, &query, INSTANCES_MAX) {
            Ok(found) => there.extend(found.iter().map(|one| one.text(SOP_INSTANCE_UID))),
            Err(AskError { cause: web::Cause::Refused { status: 404 | 405 | 501, .. }, .. }) => {
                return Ok(believed(objects));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(looked_for(objects, &there))
}

const INSTANCES_MAX: usize = 100_000;

/// As tags are written in DICOM JSON.
const SOP_INSTANCE_UID: &str = "00080018";

fn believed(objects: &[Object]) -> Found {
    objects.iter().map(|object| (object.sop_instance_uid().to_owned(), Ok(()))).collect()
}

fn looked_for(objects: &[Object], there: &BTreeSet<String>) -> Found {
    let missing = || Err("the destination said that it is stored, and does not have it".to_owned());
    let each = objects.iter().map(|object| {
        let uid = object.sop_instance_uid();
        (uid.to_owned(), there.contains(uid).then_some(()).map_or_else(missing, Ok))
    });
    each.collect()
}

/// The studies and series that the objects belong to.
fn series(objects: &[Object]) -> BTreeSet<(String, String)> {
    objects.iter().filter_map(series_of).collect()
}

/// UIDs stand within so many bytes of a file.
const BEGINNING_BYTES: u64 = 64 << 10;

fn series_of(object: &Object) -> Option<(String, String)> {
    let mut beginning = Vec::new();
    object.file().ok()?.take(BEGINNING_BYTES).read_to_end(&mut beginning).ok()?;
    let file = Part10::open(&beginning).ok()?;
    let elements = file.elements();
    Some((elements.text(tags::STUDY_INSTANCE_UID), elements.text(tags::SERIES_INSTANCE_UID)))
}
