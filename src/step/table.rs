//! The table of names for dataflow files: steps, and attributes of requests.

use std::collections::BTreeMap;

use super::{AttributeDeclaration, Step};

/// The registration of a built-in step, at the end of its file: `inventory::submit! { BuiltIn(step) }`.
pub struct BuiltIn(pub fn() -> Step);

inventory::collect!(BuiltIn);

/// Attributes of a built-in source, which its file submits: `inventory::submit! { BuiltInAttributes(ATTRIBUTES) }`.
pub struct BuiltInAttributes(pub &'static [AttributeDeclaration]);

inventory::collect!(BuiltInAttributes);

/// The steps and attributes that a dataflow file is checked against.
///
/// ```
/// use flow::step::{Step, StepTable};
///
/// let table = StepTable::built_in().with(Step::new("measure-bone", 1, "Measures the volume of bone."));
/// assert!(table.get("measure-bone").is_some());
/// assert!(table.get("find-lungs").is_some(), "a built-in step");
/// ```
#[derive(Clone, Debug, Default)]
pub struct StepTable {
    steps: BTreeMap<&'static str, Step>,
    /// Attributes of all sources, in the order in which they were declared.
    attributes: Vec<AttributeDeclaration>,
}

impl StepTable {
    /// The steps and attributes that come with flow, and those that a program linked with it submits.
    ///
    /// # Panics
    /// If two files submit steps of the same name, or attributes of the same name and different kinds.
    pub fn built_in() -> StepTable {
        let steps = inventory::iter::<BuiltIn>.into_iter();
        let table = steps.fold(StepTable::default(), |table, built_in| table.with((built_in.0)()));
        let mut attributes: Vec<_> =
            inventory::iter::<BuiltInAttributes>.into_iter().map(|built_in| built_in.0).collect();
        // The linker's order is no order. The source with most to ask of comes first.
        attributes
            .sort_by_key(|declared| (usize::MAX - declared.len(), declared.first().map(|one| one.name)));
        attributes.into_iter().fold(table, StepTable::with_attributes)
    }

    /// Adds a step.
    ///
    /// # Panics
    /// If the table already has a step with the same name.
    #[must_use]
    pub fn with(mut self, step: Step) -> StepTable {
        let name = step.declaration.name;
        let before = self.steps.insert(name, step);
        assert!(before.is_none(), "two steps are called {name:?}");
        self
    }

    /// The step with this name.
    pub fn get(&self, name: &str) -> Option<&Step> {
        self.steps.get(name)
    }

    /// All steps, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Step> {
        self.steps.values()
    }

    /// Adds the attributes of a source. Several sources may have attributes of the same name and kind.
    ///
    /// # Panics
    /// If the table has an attribute of that name and another kind.
    #[must_use]
    pub fn with_attributes(mut self, declared: &[AttributeDeclaration]) -> StepTable {
        for new in declared {
            match self.attribute(new.name) {
                None => self.attributes.push(*new),
                Some(known) => assert_eq!(known.kind, new.kind, "two attributes are called {:?}", new.name),
            }
        }
        self
    }

    /// The declaration of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&AttributeDeclaration> {
        self.attributes.iter().find(|declared| declared.name == name)
    }

    /// All attributes, in the order in which they were declared.
    pub fn attributes(&self) -> impl Iterator<Item = &AttributeDeclaration> {
        self.attributes.iter()
    }
}
