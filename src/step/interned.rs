//! Names that are only known at run time, kept for the life of the process: declarations have static names.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The name as a static text. Each name is kept once, however often it is read.
///
/// ```
/// use flow::step::interned;
///
/// assert!(std::ptr::eq(interned("left-lung"), interned(&format!("left-{}", "lung"))));
/// ```
pub fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(name);
    name
}
