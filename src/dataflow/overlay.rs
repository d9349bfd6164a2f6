//! Overlays: the file of a customer, which says what differs from a base dataflow.
//!
//! ```yaml
//! customer: north
//! dataflow: ct-lung                                  # the base
//! steps:
//!   quality: {enabled: false}                        # switches a step off
//!   densities: {with: {peel_mm: 10}}                 # sets a parameter
//!   bone: {step: measure-bone, needs: {volume: volume}}   # inserts a step
//! response: {add: [bone], remove: [page]}
//! ```
//!
//! The trees of both files are put together, and the result is checked as any dataflow; each value keeps its file
//! and line.

use std::path::{Path, PathBuf};

use crate::yaml::{
    self, MapFields, PlacedValue, ProblemCollector, YamlEntry, YamlShape, YamlTree, entries, list, text,
};

use super::Dataflow;
use super::overlay_origin::OverlayOrigin;
use super::{owned_section, programs};

/// What a file says, put together with its base.
pub(super) struct FileTree {
    pub tree: YamlTree,
    /// The customer and the name or path of the base, of an overlay.
    pub overlay: Option<OverlayOrigin>,
    /// Whether the file's own text says less than the tree.
    pub is_composed: bool,
}

const CUSTOMER: &str = "customer";
const KEYS: [&str; 13] = [
    CUSTOMER,
    "dataflow",
    "about",
    "limits",
    "steps",
    "response",
    "on_failure",
    "on_item_failure",
    "failure",
    "revisions",
    "programs",
    "priority",
    "share",
];

/// Reads a dataflow file, or an overlay together with its base.
pub(super) fn read(file: &str, text: &str, collector: &mut ProblemCollector) -> Option<FileTree> {
    let mut tree = yaml::read(text, collector)?;
    let folder = folder_of(file);
    let has_programs = settle(&mut tree, &folder);
    if !is_overlay(&tree) {
        return Some(FileTree { tree, overlay: None, is_composed: has_programs });
    }
    let keys = owned_section::with_keys(&KEYS);
    let mut fields = MapFields::read(tree, "the overlay", &keys, collector);
    let customer = fields.take_required(CUSTOMER, collector);
    let customer = customer.and_then(|(_, tree)| yaml::text(tree, "\"customer\"", collector));
    let base = fields.take_required("dataflow", collector);
    let base = base.and_then(|(_, tree)| yaml::text(tree, "\"dataflow\"", collector))?;
    let origin =
        OverlayOrigin { customer: customer.as_ref()?.value.clone(), base: located(&base.value, &folder) };
    let tree = base_tree(&base, &origin.base, collector)?;
    let tree = merged(tree, fields, &customer?, &base.value, collector)?;
    Some(FileTree { tree, overlay: Some(origin), is_composed: true })
}

fn is_overlay(tree: &YamlTree) -> bool {
    matches!(&tree.value, YamlShape::Map(entries) if entries.iter().any(|(key, _)| key.value == CUSTOMER))
}

/// The folder of a file, absolute.
fn folder_of(file: &str) -> PathBuf {
    let path = std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file));
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// Makes the paths of programs absolute; returns whether there are programs.
fn settle(tree: &mut YamlTree, folder: &Path) -> bool {
    let YamlShape::Map(entries) = &mut tree.value else { return false };
    let mut programs = entries.iter_mut().filter(|(key, _)| key.value == "programs");
    programs.next().map(|(_, tree)| programs::made_absolute(tree, folder)).is_some()
}

/// The base as [`Dataflow::load`] takes it.
fn located(base: &str, folder: &Path) -> String {
    match Dataflow::built_in(base) {
        Some(_) => base.to_owned(),
        None => folder.join(base).to_string_lossy().into_owned(),
    }
}

fn base_tree(
    written: &PlacedValue<String>,
    base: &str,
    collector: &mut ProblemCollector,
) -> Option<YamlTree> {
    let (name, text) = match Dataflow::built_in(base) {
        Some(text) => (format!("dataflows/{base}.yaml"), text.to_owned()),
        None => match std::fs::read_to_string(base) {
            Ok(text) => (base.to_owned(), text),
            Err(error) => {
                let message = format!("the base \"{}\" cannot be read: {error}", written.value);
                let known = yaml::meant_or_all(&written.value, super::built_in_names());
                let hint =
                    known.map(|known| format!("a base is a file beside this one, or built in; {known}"));
                collector.add(written.place, message).hint(hint);
                return None;
            }
        },
    };
    let folder = folder_of(&name);
    let file = collector.add_file(name, text.clone());
    let mut tree = yaml::read_added(&text, file, collector)?;
    if is_overlay(&tree) {
        let hint = "name the base of that overlay, and repeat what this one shares with it".to_owned();
        collector
            .add(written.place, format!("the base \"{}\" is an overlay itself", written.value))
            .hint(hint);
        return None;
    }
    settle(&mut tree, &folder);
    Some(tree)
}

fn merged(
    base: YamlTree,
    mut overlay: MapFields,
    customer: &PlacedValue<String>,
    base_name: &str,
    collector: &mut ProblemCollector,
) -> Option<YamlTree> {
    let place = base.place;
    let mut all = entries(base, "the dataflow", collector)?;
    for (key, tree) in &mut all {
        if let ("dataflow", YamlShape::Scalar(name, _)) = (key.value.as_str(), &mut tree.value) {
            *name = format!("{name}-{}", customer.value);
            tree.place = customer.place;
        }
    }
    for part in ["steps", "failure"] {
        let Some((key, tree)) = overlay.take(part) else { continue };
        let changes = entries(tree, &format!("\"{part}\""), collector).unwrap_or_default();
        let steps = map_at(&mut all, &key);
        changes.into_iter().for_each(|change| change_step(steps, change, part, base_name, collector));
    }
    if let Some((key, tree)) = overlay.take("limits") {
        let limits = entries(tree, "\"limits\"", collector).unwrap_or_default();
        let at = map_at(&mut all, &key);
        limits.into_iter().for_each(|entry| set(at, entry));
    }
    if let Some((key, tree)) = overlay.take("response") {
        change_response(&mut all, key, tree, base_name, collector);
    }
    if let Some((key, tree)) = overlay.take("programs") {
        let more = list(tree, "\"programs\"", collector).unwrap_or_default();
        list_at(&mut all, &key).extend(more);
    }
    let replaced = ["about", "on_failure", "on_item_failure", "revisions", "priority", "share"];
    for key in owned_section::with_keys(&replaced) {
        overlay.take(key).into_iter().for_each(|entry| set(&mut all, entry));
    }
    Some(PlacedValue { place, value: YamlShape::Map(all) })
}

/// Changes or inserts one step.
fn change_step(
    steps: &mut Vec<YamlEntry>,
    (name, tree): YamlEntry,
    part: &str,
    base: &str,
    collector: &mut ProblemCollector,
) {
    let known = steps.iter().position(|(key, _)| key.value == name.value);
    if let (Some(index), YamlShape::Nothing) = (known, &tree.value) {
        steps.remove(index);
        return;
    }
    let what = format!("the step \"{}\"", name.value);
    let Some(changes) = entries(tree.clone(), &what, collector) else { return };
    let Some(index) = known else {
        if changes.iter().any(|(key, _)| key.value == "step") {
            steps.push((name, tree));
            return;
        }
        let message =
            format!("\"{part}\" of the dataflow \"{base}\" has no step \"{}\" to change", name.value);
        let near = yaml::meant(&name.value, steps.iter().map(|(key, _)| key.value.as_str()));
        let hint = near.unwrap_or_else(|| "a step that is inserted has the key `step`".to_owned());
        collector.add(name.place, message).hint(hint);
        return;
    };
    let YamlShape::Map(fields) = &mut steps[index].1.value else { return };
    for (key, tree) in changes {
        match (key.value.as_str(), tree.value) {
            ("with" | "needs", YamlShape::Map(values)) => {
                let at = map_at(fields, &key);
                values.into_iter().for_each(|entry| set(at, entry));
            }
            (_, value) => set(fields, (key, PlacedValue { place: tree.place, value })),
        }
    }
}

/// Puts an entry in the place of that with the same key, or at the end; an empty value takes it away.
fn set(entries: &mut Vec<YamlEntry>, (key, tree): YamlEntry) {
    let known = entries.iter().position(|(name, _)| name.value == key.value);
    match (known, &tree.value) {
        (Some(index), YamlShape::Nothing) => drop(entries.remove(index)),
        (Some(index), _) => entries[index] = (key, tree),
        (None, _) => entries.push((key, tree)),
    }
}

/// The map at a key, which is made if it is not there.
fn map_at<'a>(entries: &'a mut Vec<YamlEntry>, key: &PlacedValue<String>) -> &'a mut Vec<YamlEntry> {
    let tree = tree_at(entries, key);
    if !matches!(tree.value, YamlShape::Map(_)) {
        *tree = PlacedValue { place: key.place, value: YamlShape::Map(Vec::new()) };
    }
    match &mut tree.value {
        YamlShape::Map(entries) => entries,
        _ => unreachable!("it has just been made a map"),
    }
}

fn list_at<'a>(entries: &'a mut Vec<YamlEntry>, key: &PlacedValue<String>) -> &'a mut Vec<YamlTree> {
    let tree = tree_at(entries, key);
    if !matches!(tree.value, YamlShape::List(_)) {
        *tree = PlacedValue { place: key.place, value: YamlShape::List(Vec::new()) };
    }
    match &mut tree.value {
        YamlShape::List(list) => list,
        _ => unreachable!("it has just been made a list"),
    }
}

fn tree_at<'a>(entries: &'a mut Vec<YamlEntry>, key: &PlacedValue<String>) -> &'a mut YamlTree {
    let known = entries.iter().position(|(name, _)| name.value == key.value);
    let index = known.unwrap_or_else(|| {
        entries.push((key.clone(), PlacedValue { place: key.place, value: YamlShape::Nothing }));
        entries.len() - 1
    });
    &mut entries[index].1
}

/// Replaces the response, or adds parts to it and removes parts from it.
fn change_response(
    all: &mut Vec<YamlEntry>,
    key: PlacedValue<String>,
    tree: YamlTree,
    base: &str,
    collector: &mut ProblemCollector,
) {
    if !matches!(tree.value, YamlShape::Map(_)) {
        return set(all, (key, tree));
    }
    let mut fields = MapFields::read(tree, "\"response\" of an overlay", &["add", "remove"], collector);
    let add = fields.take("add").and_then(|(_, tree)| list(tree, "\"add\" of the response", collector));
    let remove =
        fields.take("remove").and_then(|(_, tree)| list(tree, "\"remove\" of the response", collector));
    let parts = list_at(all, &key);
    for tree in remove.unwrap_or_default() {
        let Some(name) = text(tree, "a part of the response", collector) else { continue };
        let is_it =
            |tree: &YamlTree| matches!(&tree.value, YamlShape::Scalar(part, _) if *part == name.value);
        match parts.iter().position(is_it) {
            Some(index) => drop(parts.remove(index)),
            None => {
                let known = parts.iter().filter_map(|tree| match &tree.value {
                    YamlShape::Scalar(part, _) => Some(part.as_str()),
                    _ => None,
                });
                let hint = yaml::meant_or_all(&name.value, known);
                let message =
                    format!("the response of the dataflow \"{base}\" has no part \"{}\"", name.value);
                collector.add(name.place, message).hint(hint);
            }
        }
    }
    parts.extend(add.unwrap_or_default());
}
