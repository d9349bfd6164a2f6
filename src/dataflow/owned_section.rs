//! Keys at the top of a dataflow file that say nothing about the dataflow: the module that registers a key checks
//! what stands there, and reads it again from [`Dataflow::text`](super::Dataflow::text).
//!
//! They do not count for the version of a dataflow.

use crate::yaml::{MapFields, ProblemCollector, YamlTree};

/// The registration of a key: every dataflow file may have it.
pub(crate) struct OwnedSection {
    pub key: &'static str,
    /// Notes the problems of what stands at the key.
    pub check: fn(YamlTree, &mut ProblemCollector),
}

inventory::collect!(OwnedSection);

/// These keys, and all that are registered.
pub(super) fn with_keys(known: &[&'static str]) -> Vec<&'static str> {
    known.iter().copied().chain(sections().map(|section| section.key)).collect()
}

/// Takes the registered keys out of the fields of a file, and has their owners check them.
pub(super) fn check_all(fields: &mut MapFields, collector: &mut ProblemCollector) {
    for section in sections() {
        if let Some((_, tree)) = fields.take(section.key) {
            (section.check)(tree, collector);
        }
    }
}

fn sections() -> impl Iterator<Item = &'static OwnedSection> {
    inventory::iter::<OwnedSection>.into_iter()
}
