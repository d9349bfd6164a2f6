//! Sections: keys of a site's file that are read by the module whose settings they are.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use crate::admission::{Destination, Source};

use super::SectionReader;

/// A part of a site's file that one module reads. The module registers it with `inventory::submit! {
/// BuiltInSection(…) }`; the file may have its keys then.
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
    /// The keys at the top of the file that belong to this section.
    fn keys(&self) -> &'static [&'static str];

    /// Reads these keys. Problems are noted in the reader.
    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings>;
}

/// The settings read from a section.
pub trait SectionSettings: Any + Debug + Send + Sync {
    /// The names of destinations that `to` may contain.
    fn destination_names(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The destination of a name, if the file has all that is needed to make it.
    fn destination(&self, _name: &str) -> Option<Arc<dyn Destination>> {
        None
    }

    /// The sources that the file defines. `flow run` runs them, unless its command line names files.
    fn sources(&self) -> Vec<Arc<dyn Source>> {
        Vec::new()
    }
}

/// The registration of a section: every site's file may have its keys.
pub struct BuiltInSection(pub &'static dyn SiteSection);

inventory::collect!(BuiltInSection);

/// The sections of flow itself, and those that a program linked with it registers, in the order of their
/// keys.
pub fn built_in_sections() -> Vec<&'static dyn SiteSection> {
    let mut sections: Vec<_> =
        inventory::iter::<BuiltInSection>.into_iter().map(|built_in| built_in.0).collect();
    sections.sort_by_key(|section| section.keys());
    sections
}
