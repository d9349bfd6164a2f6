//! Hints for unknown names: the similar known name.

/// "did you mean …?" with a similar known name; otherwise a list of all known names.
pub(crate) fn meant_or_all<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    meant(word, known.iter().copied()).or_else(|| (!known.is_empty()).then(|| all(&known)))
}

/// "did you mean …?" with a similar known name.
pub(crate) fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|name| format!("did you mean \"{name}\"?"))
}

/// The most similar known name, if it is similar enough.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &&str| strsim::damerau_levenshtein(word, name);
    let nearest = known.into_iter().min_by_key(distance)?;
    // A name that differs in up to a third of its letters counts as misspelt.
    (distance(&nearest) <= nearest.chars().count().max(3) / 3).then_some(nearest)
}

fn all(known: &[&str]) -> String {
    format!("known here: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_listed() {
        let known = ["find-lungs", "write-png"];
        assert_eq!(meant_or_all("find-lugns", known).as_deref(), Some("did you mean \"find-lungs\"?"));
        assert_eq!(meant_or_all("sharpen", known).as_deref(), Some("known here: find-lungs, write-png"));
        assert_eq!(meant_or_all("sharpen", []), None);
    }
}
