//! The texts of the page: one table for each language, in one file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hyper::HeaderMap;
use hyper::header::ACCEPT_LANGUAGE;
use serde_json::json;

/// Texts by language and key. The page puts values in the place of what stands in braces.
static TEXTS: LazyLock<BTreeMap<String, BTreeMap<String, String>>> =
    LazyLock::new(|| serde_json::from_str(include_str!("page.texts.json")).expect("a test reads the file"));

/// The language for readers of none that there is.
const USUAL: &str = "en";

/// The table of the language that a browser likes most, as JSON with the language.
pub fn texts(headers: &HeaderMap) -> String {
    let language = language(headers.get(ACCEPT_LANGUAGE).and_then(|text| text.to_str().ok()));
    json!({"language": language, "texts": TEXTS.get(language)}).to_string()
}

/// The best of our languages for an `Accept-Language` (RFC 9110, 12.5.4): regions are passed over.
fn language(accepted: Option<&str>) -> &str {
    let wanted = accepted.unwrap_or_default().split(',').enumerate().filter_map(|(place, wanted)| {
        let (range, quality) = wanted.split_once(";q=").unwrap_or((wanted, "1"));
        let quality = quality.trim().parse::<f64>().ok().filter(|quality| *quality > 0.0)?;
        let name = range.trim().split('-').next()?.to_ascii_lowercase();
        let (name, _) = TEXTS.get_key_value(&name)?;
        Some(((quality * 1000.0) as u16, std::cmp::Reverse(place), name.as_str()))
    });
    wanted.max().map_or(USUAL, |(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::admission::PointlessReason;
    use crate::ledger::REASON_CODES;
    use crate::monitor::refusal_code::RefusalCode;
    use crate::step::FaultKind;

    use super::*;

    #[test]
    fn the_browser_says_the_language() {
        for (accepted, expected) in [
            (None, "en"),
            (Some("de-CH,de;q=0.9,en;q=0.8"), "de"),
            (Some("fr,en;q=0.5,de;q=0.4"), "en"),
            (Some("fr, de;q=0.4"), "de"),
            (Some("en;q=0, de;q=0.1"), "de"),
            (Some("*;q=0.5, \u{7f};;q=x"), "en"),
        ] {
            assert_eq!(language(accepted), expected, "{accepted:?}");
        }
    }

    #[test]
    fn every_language_has_the_same_texts_with_the_same_places() {
        let places = |text: &str| -> BTreeSet<String> {
            text.split('{')
                .skip(1)
                .filter_map(|rest| rest.split_once('}'))
                .map(|(name, _)| name.to_owned())
                .collect()
        };
        let english = &TEXTS[USUAL];
        for (language, texts) in TEXTS.iter() {
            let keys = |texts: &BTreeMap<String, String>| texts.keys().cloned().collect::<Vec<String>>();
            assert_eq!(keys(texts), keys(english), "{language}");
            for (key, text) in texts {
                assert!(!text.is_empty(), "{language}: {key}");
                assert_eq!(places(text), places(&english[key]), "{language}: {key}");
            }
        }
    }

    /// The page looks them up by codes of the API.
    #[test]
    fn every_code_has_a_text() {
        let pointless = PointlessReason::ALL.into_iter().map(RefusalCode::Pointless);
        let refusals: Vec<&str> =
            RefusalCode::ALL.into_iter().chain(pointless).map(RefusalCode::code).collect();
        let troubles: Vec<&str> = REASON_CODES.iter().map(|(code, _)| *code).collect();
        let faults: Vec<&str> = FaultKind::ALL.into_iter().map(FaultKind::name).collect();
        for (group, codes) in [("refusal.", refusals), ("trouble.", troubles), ("fault.", faults)] {
            let codes: BTreeSet<String> = codes.iter().map(|code| format!("{group}{code}")).collect();
            let texts = TEXTS[USUAL].keys().filter(|key| key.starts_with(group)).cloned().collect();
            assert_eq!(codes, texts);
        }
    }

    /// Every text is used, and every text that is used is there. `word("group", name)` and `t("group." + name)` use the
    /// texts of a group.
    #[test]
    fn the_page_uses_the_texts_of_the_table() {
        let page = concat!(include_str!("page.js"), include_str!("page.html"));
        let texts = &TEXTS[USUAL];
        let is_used = |key: &String| {
            let mut written = page.split('"').skip(1).step_by(2);
            written.any(|text| key.strip_prefix(text).is_some_and(|rest| is_end(text, rest)))
        };
        let unused: Vec<&String> = texts.keys().filter(|key| !is_used(key)).collect();
        assert!(unused.is_empty(), "{unused:?}");
        let mut asked = 0;
        for call in
            ["t(", "n(", "parts(", "counted(", "section(", "button(", "fact(", "figure(", "data-text="]
        {
            let call = format!("{call}\"");
            for (place, _) in page.match_indices(&call) {
                if page[..place].ends_with(|letter: char| letter.is_alphanumeric() || letter == '.') {
                    continue;
                }
                let key = page[place + call.len()..].split('"').next().unwrap_or_default();
                asked += 1;
                assert!(key.ends_with('.') || texts.contains_key(key), "{call}{key} is in no table");
            }
        }
        assert!(asked > 100, "only {asked} uses were found");
    }

    /// Whether a key is a text that is written, or one of a group that is.
    fn is_end(text: &str, rest: &str) -> bool {
        !text.is_empty() && (rest.is_empty() || text.ends_with('.') || rest.starts_with('.'))
    }
}
