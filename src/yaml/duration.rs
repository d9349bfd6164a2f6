//! Durations, as people write them: `30 s`.

use std::time::Duration;

/// The units, largest first: a duration is shown in the first one that divides it.
const UNITS_MS: [(&str, u64); 5] =
    [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("min", 60 * 1000), ("s", 1000), ("ms", 1)];

/// The longest duration, in milliseconds.
const MS_MAX: f64 = 1e12;

/// Reads a number with a unit, rounded to whole milliseconds; `None` if it is not that. A number alone is a
/// number of seconds. The command line and all files have this one grammar.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    parse_in(text, "s")
}

/// As [`parse`]; a number alone has this unit.
pub(crate) fn parse_in(text: &str, unit_usual: &str) -> Option<Duration> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { unit_usual } else { unit.trim() };
    let (_, unit_ms) = UNITS_MS.iter().find(|(name, _)| *name == unit)?;
    let ms = number.parse::<f64>().ok()? * *unit_ms as f64;
    (ms <= MS_MAX).then(|| Duration::from_millis(ms.round() as u64))
}

/// The duration in the largest unit that divides it.
///
/// ```
/// use std::time::Duration;
/// use flow::yaml::duration::shown;
///
/// assert_eq!(shown(Duration::from_secs(600)), "10 min");
/// assert_eq!(shown(Duration::from_millis(1500)), "1.5 s");
/// ```
pub fn shown(duration: Duration) -> String {
    let ms = duration.as_millis();
    let divides =
        |(_, unit_ms): &&(&str, u64)| ms >= u128::from(*unit_ms) && ms.is_multiple_of((*unit_ms).into());
    match UNITS_MS.iter().find(divides) {
        Some((name, unit_ms)) if *unit_ms > 1 => format!("{} {name}", ms / u128::from(*unit_ms)),
        _ if ms > 1000 => format!("{} s", duration.as_secs_f64()),
        _ if ms == 0 => "0 s".to_owned(),
        _ => format!("{ms} ms"),
    }
}

/// The units, for a hint.
pub(crate) fn units() -> String {
    UNITS_MS.map(|(name, _)| name).into_iter().rev().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        let check = |text: &str, ms: u64, again: &str| {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse(text), Some(duration), "{text:?}");
            assert_eq!(shown(duration), again);
        };
        check("30 s", 30_000, "30 s");
        check("30s", 30_000, "30 s");
        check("30", 30_000, "30 s");
        check("2.5", 2_500, "2.5 s");
        assert_eq!(parse_in("2", "h"), Some(Duration::from_secs(7200)));
        check("90 s", 90_000, "90 s");
        check("120 s", 120_000, "2 min");
        check("1.5 s", 1_500, "1.5 s");
        check("0 s", 0, "0 s");
        check("36 h", 129_600_000, "36 h");
        check("2 d", 172_800_000, "2 d");
        check("1 ms", 1, "1 ms");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", ".", "-1 s", "1 S", "1.2.3 s", "one s", "1 m", "99999999999 d", "1 s 5 ms"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
