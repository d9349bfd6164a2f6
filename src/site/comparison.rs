//! The keys in which two versions of a site's file differ.

use crate::yaml::{self, ProblemCollector, YamlEntry, YamlShape, YamlTree};

/// The keys at the top of two texts whose values differ, in the order of the alphabet. Both texts have been
/// read without problems before.
pub(super) fn differing_keys(before: &str, after: &str) -> Vec<String> {
    let [before, after] = [before, after].map(entries);
    let value = |entries: &[YamlEntry], key: &str| {
        entries.iter().find(|(other, _)| other.value == key).map(|(_, tree)| tree.clone())
    };
    let mut keys: Vec<String> = before.iter().chain(&after).map(|(key, _)| key.value.clone()).collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| match (value(&before, key), value(&after, key)) {
        (Some(before), Some(after)) => !is_same(&before, &after),
        (None, None) => false,
        _ => true,
    });
    keys
}

fn entries(text: &str) -> Vec<YamlEntry> {
    match yaml::read(text, &mut ProblemCollector::new("", text)).map(|tree| tree.value) {
        Some(YamlShape::Map(entries)) => entries,
        Some(YamlShape::Nothing | YamlShape::Scalar(..) | YamlShape::List(_)) | None => Vec::new(),
    }
}

/// Whether two values are the same, wherever they stand. Trees are not deep.
fn is_same(before: &YamlTree, after: &YamlTree) -> bool {
    match (&before.value, &after.value) {
        (YamlShape::Nothing, YamlShape::Nothing) => true,
        (YamlShape::Scalar(before, _), YamlShape::Scalar(after, _)) => before == after,
        (YamlShape::List(before), YamlShape::List(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(one, other)| is_same(one, other))
        }
        (YamlShape::Map(before), YamlShape::Map(after)) => {
            let has_same = |(key, tree): &YamlEntry| {
                after.iter().any(|(other, value)| other.value == key.value && is_same(tree, value))
            };
            before.len() == after.len() && before.iter().all(has_same)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_comments_and_the_order_of_keys_make_no_difference() {
        let before = "state: a\nnodes: {pacs: {aet: PACS, port: 104}}\nto: [pacs]\nlanes: 2\n";
        let after = "# a comment\nnodes:\n  pacs:\n    port: 104\n    aet: PACS\nto:\n  - pacs\nworkers: 2\nstate: b\n";
        assert_eq!(differing_keys(before, after), ["lanes", "state", "workers"]);
        assert!(differing_keys(before, before).is_empty());
        assert_eq!(differing_keys("to: [a]", "to: [a, b]"), ["to"]);
    }
}
