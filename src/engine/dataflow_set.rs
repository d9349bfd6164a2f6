//! The dataflows of one engine, by version. There is at least one.

use std::sync::Arc;

use crate::dataflow::Dataflow;
use crate::step::Digest;

/// Dataflows that run side by side, and older versions of them that accepted requests still need.
/// In a mesh, every process must have the same ones in the same order: [`DataflowSet::digest`] tells.
#[derive(Clone, Debug)]
pub struct DataflowSet {
    first: Arc<Dataflow>,
    others: Vec<Arc<Dataflow>>,
}

impl DataflowSet {
    /// A set of one: the dataflow of submissions that name no version.
    pub fn new(first: Arc<Dataflow>) -> DataflowSet {
        DataflowSet { first, others: Vec::new() }
    }

    /// Adds a dataflow. A version that is there already is not added again.
    #[must_use]
    pub fn with(mut self, dataflow: Arc<Dataflow>) -> DataflowSet {
        if self.position(dataflow.digest()).is_none() {
            self.others.push(dataflow);
        }
        self
    }

    /// The dataflow of submissions that name no version.
    pub fn first(&self) -> &Arc<Dataflow> {
        &self.first
    }

    /// The dataflow of this version.
    pub fn get(&self, version: Digest) -> Option<&Arc<Dataflow>> {
        self.iter().find(|dataflow| dataflow.digest() == version)
    }

    /// All dataflows, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Dataflow>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The digest of all versions in their order; that of a set of one is its dataflow's.
    pub fn digest(&self) -> Digest {
        if self.others.is_empty() {
            return self.first.digest();
        }
        let versions: Vec<Digest> = self.iter().map(|dataflow| dataflow.digest()).collect();
        Digest::of_parts(versions.iter().map(|version| version.as_bytes().as_slice()))
    }

    /// The place of a version in the order of the set.
    pub(super) fn position(&self, version: Digest) -> Option<usize> {
        self.iter().position(|dataflow| dataflow.digest() == version)
    }
}

impl From<Arc<Dataflow>> for DataflowSet {
    fn from(dataflow: Arc<Dataflow>) -> DataflowSet {
        DataflowSet::new(dataflow)
    }
}
