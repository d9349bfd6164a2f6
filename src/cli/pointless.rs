//! Options that would do nothing.

use super::exit::{CommandError, CommandErrorKind};

/// Refuses the first of some options that is given: it would do nothing.
pub fn refuse_given<const N: usize>(given: [(&str, bool); N], hint: &str) -> Result<(), CommandError> {
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((options, _)) => {
            let text = format!("{options} would do nothing with this dataflow");
            Err(CommandError::new(CommandErrorKind::Usage, text).hint(hint))
        }
        None => Ok(()),
    }
}
