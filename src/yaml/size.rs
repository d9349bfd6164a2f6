//! Sizes in bytes in human notation: `64 MiB`.

const UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Reads a number with an optional unit, rounded to whole bytes; `None` for negative numbers and anything
/// else.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    let bytes = number.parse::<f64>().ok()? * unit as f64;
    (bytes < u64::MAX as f64).then_some(bytes.round() as u64)
}

/// Reads a size on a command line: `4GiB`, `512 MiB`.
///
/// # Errors
/// A message that describes the notation of sizes.
pub fn bytes(text: &str) -> Result<u64, String> {
    let bytes = parse(text).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| format!("write a number and one of {}, for example 4GiB", units()))
}

/// Formats a size so that `parse` reads it back, in the largest unit that divides it.
pub(crate) fn shown(bytes: u64) -> String {
    let divides = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().rev().find(divides).unwrap_or(&UNITS[0]);
    format!("{} {name}", bytes / unit)
}

/// The units, for a hint.
pub(crate) fn units() -> String {
    let names: Vec<&str> = UNITS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(parse(text), expected, "{text:?}");
        check("64 MiB", Some(64 << 20));
        check("1.5KiB", Some(1536));
        check("17", Some(17));
        check("0", Some(0));
        check("-1 MiB", None);
        check("64 MB", None);
        check("MiB", None);
        check("99999999999 TiB", None);
        check("", None);
        for text in ["64 MiB", "4 GiB", "17 B", "0 B", "1025 KiB"] {
            assert_eq!(parse(text).map(shown).as_deref(), Some(text));
        }
    }
}
