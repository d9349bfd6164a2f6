//! Drawings of a dataflow: for the terminal, for Graphviz and for Mermaid.
//!
//! All have the same content, and differ in their characters only.

mod content;
mod difference;
mod dot;
mod mermaid;
mod placement;
mod text;

use super::Dataflow;

impl Dataflow {
    /// A drawing for the terminal: one line for each step, with lines on the left for its needs.
    pub fn drawing(&self) -> String {
        text::draw(self.as_written())
    }

    /// The steps by the label of the processes on which they run, one label on each line.
    ///
    /// ```
    /// use flow::dataflow::Dataflow;
    /// use flow::step::StepTable;
    ///
    /// let text = Dataflow::built_in("ct-lung").expect("it is built in");
    /// let text = text.replace("step: find-lungs\n", "step: find-lungs\n    on: big-memory\n");
    /// let dataflow = Dataflow::parse("x", &text, &StepTable::built_in())?;
    /// assert!(dataflow.placement().contains("big-memory  lungs\n"));
    /// # Ok::<(), flow::yaml::Problems>(())
    /// ```
    pub fn placement(&self) -> String {
        placement::lines(self.as_written())
    }

    /// The differences from another dataflow, one on each line: a step that this one adds (`+`), lacks (`-`) or has
    /// otherwise (`~`), and other settings. A customer's overlay is compared with its base in this way.
    pub fn differences_from(&self, base: &Dataflow) -> Vec<String> {
        difference::lines(base.as_written(), self.as_written())
    }

    /// A drawing in the language of Graphviz.
    pub fn dot(&self) -> String {
        dot::draw(self.as_written())
    }

    /// A drawing in the language of Mermaid.
    ///
    /// ```
    /// use flow::dataflow::Dataflow;
    /// use flow::step::StepTable;
    ///
    /// let dataflow = Dataflow::load("ct-lung", &StepTable::built_in())?;
    /// assert!(dataflow.mermaid().starts_with("flowchart TD"));
    /// assert!(dataflow.dot().starts_with("digraph"));
    /// # Ok::<(), flow::dataflow::LoadError>(())
    /// ```
    pub fn mermaid(&self) -> String {
        mermaid::draw(self.as_written())
    }
}
