//! Sections: keys of a site's file that are read by those whose settings they are.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use crate::admission::{Destination, Source};

use super::SectionReader;

/// One owner's part of a site's file. The owner registers it with `inventory::submit! { BuiltInSection(…) }`,
/// and so the file takes its keys.
///
/// ```
/// use std::path::Path;
///
/// use flow::site::{SectionReader, SectionSettings, Site, SiteSection};
///
/// /// `printer: NAME`
/// struct PrinterSection;
///
/// #[derive(Debug)]
/// struct PrinterSettings {
///     name: Option<String>,
/// }
///
/// impl SiteSection for PrinterSection {
///     fn keys(&self) -> &'static [&'static str] {
///         &["printer"]
///     }
///
///     fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
///         Box::new(PrinterSettings { name: reader.text("printer").map(|name| name.value) })
///     }
/// }
///
/// impl SectionSettings for PrinterSettings {}
///
/// let site = Site::parse("site.yaml", "printer: LP1", Path::new(""), &[&PrinterSection])?;
/// assert_eq!(site.section::<PrinterSettings>().unwrap().name.as_deref(), Some("LP1"));
/// let problems = Site::parse("site.yaml", "printr: LP1", Path::new(""), &[&PrinterSection]).unwrap_err();
/// assert!(problems.to_string().contains("did you mean \"printer\"?"));
/// # Ok::<(), flow::yaml::Problems>(())
/// ```
pub trait SiteSection: Sync {
    /// The keys at the top of the file that are the owner's.
    fn keys(&self) -> &'static [&'static str];

    /// Reads these keys. What is wrong with them is noted in the reader.
    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings>;
}

/// The settings that an owner has read from its section.
pub trait SectionSettings: Any + Debug + Send + Sync {
    /// The names of destinations that `to` may contain.
    fn destination_names(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The destination of a name, if the file alone says enough to make it.
    fn destination(&self, _name: &str) -> Option<Arc<dyn Destination>> {
        None
    }

    /// The sources that the file alone makes. `flow run` runs them, unless the command line names files to be
    /// taken in.
    fn sources(&self) -> Vec<Arc<dyn Source>> {
        Vec::new()
    }
}

/// A submission of a file with a section: the command line takes it in every site's file.
pub struct BuiltInSection(pub &'static dyn SiteSection);

inventory::collect!(BuiltInSection);

/// The sections that come with flow, and those that a program linked with it submits, in the order of their
/// keys.
pub fn built_in_sections() -> Vec<&'static dyn SiteSection> {
    let mut sections: Vec<_> =
        inventory::iter::<BuiltInSection>.into_iter().map(|built_in| built_in.0).collect();
    sections.sort_by_key(|section| section.keys());
    sections
}
