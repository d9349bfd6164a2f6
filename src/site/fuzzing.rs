//! Entry point for the target in `fuzz`: the text of a site's file, with the sections of all folders.

use std::path::Path;

use super::{Site, built_in_sections, check_attribute, described_request};
use crate::step::StepTable;

/// A site's file. The files that it names are not opened.
pub fn site(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match Site::parse("site.yaml", text, Path::new("/nowhere"), &built_in_sections()) {
        Err(problems) => {
            assert!(!problems.to_string().is_empty());
            false
        }
        Ok(site) => {
            assert!(site.differing_keys(&site).is_empty(), "it does not differ from itself");
            if let Some(rules) = &site.rules {
                let pairs = [("modality", "CT"), ("source", "dicom")];
                let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
                assert!(check_attribute("modality", &StepTable::built_in()).is_ok());
                let dataflows = rules.dataflows();
                assert!(dataflows.contains(&rules.choose(&described_request(pairs)).dataflow));
            }
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_site_do_no_harm() {
        crate::fuzzed::check("site", site);
    }
}
