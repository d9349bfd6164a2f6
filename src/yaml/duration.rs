//! Durations in human notation: `30 s`.

use std::time::Duration;

/// The units, largest first: the first one that divides a duration is used to show it.
const UNITS_MS: [(&str, u64); 5] =
    [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("min", 60 * 1000), ("s", 1000), ("ms", 1)];

/// Upper limit of a duration.
const MS_MAX: f64 = 1e12;

/// Reads a number with a unit, rounded to whole milliseconds; `None` for anything else. A number without
/// a unit is refused as ambiguous.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, unit_ms) = UNITS_MS.iter().find(|(name, _)| *name == unit.trim())?;
    let ms = number.parse::<f64>().ok()? * *unit_ms as f64;
    (ms <= MS_MAX).then(|| Duration::from_millis(ms.round() as u64))
}

/// Formats a duration so that `parse` reads it back, in the largest unit that gives a short number:
/// `90 s`, `1.5 s`, `10 min`.
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
        for text in ["30", "", "s", "-1 s", "1 S", "1.2.3 s", "one s", "1 m", "99999999999 d", "1 s 5 ms"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
