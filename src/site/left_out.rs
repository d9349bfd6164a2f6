//! Sections of a site's file whose owners this build leaves out: they say so.

use super::{BuiltInSection, SectionReader, SectionSettings, SiteSection};

/// A section of a feature that is not built.
struct LeftOutSection {
    keys: &'static [&'static str],
}

inventory::submit! { BuiltInSection(&LeftOutSection { keys: &["chat"] }) }

/// Nothing: whoever names the section is told so.
#[derive(Debug)]
struct NoSettings;

impl SectionSettings for NoSettings {}

impl SiteSection for LeftOutSection {
    fn keys(&self) -> &'static [&'static str] {
        self.keys
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        for name in self.keys {
            reader.section(name, |section| {
                let hint = format!("build it with the feature {name:?}, or leave out the section");
                section.wrong(&format!("this flow was built without {name:?}"), &hint);
            });
        }
        Box::new(NoSettings)
    }
}
