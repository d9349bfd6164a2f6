//! `output` in a site's file: the folder of responses.

use std::path::PathBuf;

use crate::site::{BuiltInSection, SectionReader, SectionSettings, SiteSection};

/// Reads `output`.
pub struct FilesSection;

inventory::submit! { BuiltInSection(&FilesSection) }

/// Settings for files in a site's file.
#[derive(Debug)]
pub struct FilesSite {
    pub output: Option<OutputSetting>,
}

/// Where the folders of responses are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputSetting {
    /// Below this folder, one for each response.
    Folder(PathBuf),
    /// `none`: responses go to other destinations only.
    Nowhere,
}

const NOWHERE: &str = "none";

impl SiteSection for FilesSection {
    fn keys(&self) -> &'static [&'static str] {
        &["output"]
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        let output = reader.text("output").map(|output| match output.value.as_str() {
            NOWHERE => OutputSetting::Nowhere,
            folder => OutputSetting::Folder(reader.context().folder.join(folder)),
        });
        Box::new(FilesSite { output })
    }
}

impl SectionSettings for FilesSite {}
