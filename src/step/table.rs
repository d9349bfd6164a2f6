//! The table of steps that a dataflow file can name.

use std::collections::BTreeMap;

use super::Step;

/// The registration of a built-in step, at the end of its file: `inventory::submit! { BuiltIn(step) }`.
pub struct BuiltIn(pub fn() -> Step);

inventory::collect!(BuiltIn);

/// The steps that a dataflow file can name.
///
/// ```
/// use flow::step::{Step, Table};
///
/// let table = Table::built_in().with(Step::new("measure-bone", 1, "Measures the volume of bone."));
/// assert!(table.get("measure-bone").is_some());
/// assert!(table.get("find-lungs").is_some(), "a built-in step");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Table(BTreeMap<&'static str, Step>);

impl Table {
    /// The built-in steps of flow, and those that the program registers with [`BuiltIn`].
    ///
    /// # Panics
    /// If two registered steps have the same name.
    pub fn built_in() -> Table {
        let steps = inventory::iter::<BuiltIn>.into_iter();
        steps.fold(Table::default(), |table, built_in| table.with((built_in.0)()))
    }

    /// Adds a step.
    ///
    /// # Panics
    /// If the table already has a step with the same name.
    #[must_use]
    pub fn with(mut self, step: Step) -> Table {
        let name = step.declaration.name;
        let before = self.0.insert(name, step);
        assert!(before.is_none(), "two steps are called {name:?}");
        self
    }

    /// The step with this name.
    pub fn get(&self, name: &str) -> Option<&Step> {
        self.0.get(name)
    }

    /// All steps, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Step> {
        self.0.values()
    }
}
