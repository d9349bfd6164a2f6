//! Entry points for the target in `fuzz`: the text of a dataflow file, as [`Dataflow::parse`] gets it.

use std::sync::OnceLock;

use crate::step::StepTable;

use super::{Dataflow, names_programs};

/// A dataflow file or an overlay. Those that name programs or other files are left out: nothing is to be started or
/// read here.
pub fn dataflow(bytes: &[u8]) -> bool {
    static TABLE: OnceLock<StepTable> = OnceLock::new();
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if names_programs(text) {
        return false;
    }
    let table = TABLE.get_or_init(StepTable::built_in);
    match Dataflow::parse("fuzzed.yaml", text, table) {
        Err(problems) => {
            assert!(problems.iter().all(|problem| !problem.message.is_empty()));
            assert!(!problems.to_string().is_empty());
            false
        }
        Ok(dataflow) => {
            look_at(&dataflow, table);
            true
        }
    }
}

fn look_at(dataflow: &Dataflow, table: &StepTable) {
    for drawn in [dataflow.drawing(), dataflow.dot(), dataflow.mermaid()] {
        assert!(!drawn.is_empty());
    }
    dataflow.placement();
    assert!(dataflow.differences_from(dataflow).is_empty(), "it does not differ from itself");
    // The journal keeps the text of each version, and reads it later.
    let again = Dataflow::parse("fuzzed.yaml", dataflow.text(), table).expect("its own text is sound");
    assert_eq!(again.digest(), dataflow.digest(), "its own text gives the same version");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dataflow_files_do_no_harm() {
        crate::fuzzed::check("dataflow", dataflow);
    }
}
