//! `traces` in a site's file.

use crate::calls::check_address;
use crate::site::{BuiltInSection, SectionReader, SectionSettings, SiteSection};

/// Reads `traces`.
pub struct TraceSection;

inventory::submit! { BuiltInSection(&TraceSection) }

/// Where traces go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceSettings {
    /// The URL that spans are posted to.
    pub url: Option<String>,
}

/// The path of OTLP over HTTP for traces.
const PATH: &str = "/v1/traces";

impl SiteSection for TraceSection {
    fn keys(&self) -> &'static [&'static str] {
        &["traces"]
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        Box::new(reader.section("traces", traces).unwrap_or_default())
    }
}

impl SectionSettings for TraceSettings {}

fn traces(reader: &mut SectionReader) -> TraceSettings {
    reader.known("\"traces\"", &["collector"]);
    let hint = "for example http://127.0.0.1:4318";
    let url = reader.required("collector", |reader| reader.value("collector", "a URL", hint, collector));
    TraceSettings { url }
}

/// The URL for traces: that of a collector without a path gets the usual path.
fn collector(text: &str) -> Option<String> {
    check_address(text).ok()?;
    let (scheme, rest) = text.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some(if path.is_empty() { format!("{scheme}://{host}{PATH}") } else { text.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::Site;

    fn read(text: &str) -> Result<TraceSettings, String> {
        let site = Site::parse("site.yaml", text, Path::new("/site"), &[&TraceSection]);
        let site = site.map_err(|problems| problems.to_string())?;
        Ok(site.section::<TraceSettings>().cloned().unwrap_or_default())
    }

    #[test]
    fn a_collector_without_a_path_gets_the_usual_one() {
        for (given, used) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example.org/", "https://collector.example.org/v1/traces"),
            ("http://collector/otlp/traces", "http://collector/otlp/traces"),
        ] {
            let settings = read(&format!("traces: {{collector: \"{given}\"}}\n")).unwrap();
            assert_eq!(settings.url.as_deref(), Some(used));
        }
        assert_eq!(read("state: s\n").unwrap(), TraceSettings::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("traces: {collector: 127.0.0.1}\n", "a URL"),
            ("traces: {collector: \"http://a:99999\"}\n", "a URL"),
            ("traces: {}\n", "collector"),
            ("traces: {colector: \"http://a\"}\n", "did you mean \"collector\"?"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.contains(expected), "{text}: {problems}");
        }
    }
}
