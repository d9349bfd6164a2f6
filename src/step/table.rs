//! The table of steps that a dataflow file can name.

use std::collections::BTreeMap;

use super::Step;

/// What a file with a built-in step submits: `inventory::submit! { BuiltIn(step) }`.
pub struct BuiltIn(pub fn() -> Step);

inventory::collect!(BuiltIn);

#[derive(Clone, Debug, Default)]
pub struct Table(BTreeMap<&'static str, Step>);

impl Table {
    /// The steps that come with flow, and those that a program linked with it submits.
    ///
    /// # Panics
    /// If two files submit steps of the same name.
    pub fn built_in() -> Table {
        let steps = inventory::iter::<BuiltIn>.into_iter();
        steps.fold(Table::default(), |table, built_in| table.with((built_in.0)()))
    }

    /// # Panics
    /// If the table has a step of that name.
    #[must_use]
    pub fn with(mut self, step: Step) -> Table {
        let name = step.declaration.name;
        let before = self.0.insert(name, step);
        assert!(before.is_none(), "two steps are called {name:?}");
        self
    }

    pub fn get(&self, name: &str) -> Option<&Step> {
        self.0.get(name)
    }

    /// In alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Step> {
        self.0.values()
    }
}
