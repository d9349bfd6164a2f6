//! The words of the code: a type's name means one thing in the whole crate, and a doc paragraph begins
//! with what it is about.
//!
//! The limits are near what fjall, ripgrep, nextest, dicom-rs and redb keep: 6 to 38 % of their type
//! names are a single word, 4 to 16 % stand for several types, under 1 % of their doc paragraphs begin
//! with a pronoun.

use std::collections::BTreeMap;

use crate::source::{Source, none};

/// In percent of all type names.
const ONE_WORD_MAX: f64 = 100.0 / 3.0;
const SHARED_MAX: f64 = 8.0;

/// In percent of all doc paragraphs.
const PRONOUN_MAX: f64 = 2.0;

/// Names that stand for several types, each with the reason.
const SHARED: &[(&str, &str)] = &[];

/// Words that point at something without naming it.
const PRONOUNS: &[&str] = &[
    "he",
    "her",
    "his",
    "it",
    "its",
    "our",
    "she",
    "that",
    "their",
    "them",
    "these",
    "they",
    "this",
    "those",
    "us",
    "we",
    "what",
    "whatever",
    "which",
    "whichever",
    "who",
    "whoever",
    "whom",
    "whose",
    "you",
    "your",
];

struct Type {
    name: String,
    at: String,
}

/// Structs, enums, traits and aliases of `src` without its tests. Aliases inside of a block are
/// associated types: a trait has named them.
fn types() -> Vec<Type> {
    let mut types = Vec::new();
    for source in Source::all(&["src"]) {
        for line in source.code() {
            let name = type_name(line.text);
            types.extend(name.map(|name| Type { name: name.to_owned(), at: source.at(line.number, name) }));
        }
    }
    assert!(types.len() > 500, "only {} types were found", types.len());
    types
}

fn type_name(line: &str) -> Option<&str> {
    const BEFORE: [&str; 4] = ["pub", "pub(crate)", "pub(super)", "unsafe"];
    let mut words = line.split_whitespace().skip_while(|word| BEFORE.contains(word));
    let is_type = match words.next()? {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => !line.starts_with(' '),
        _ => false,
    };
    let name = words.next()?.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next()?;
    (is_type && name.starts_with(char::is_uppercase)).then_some(name)
}

/// Whether no capital follows a small letter or a digit: `Request`, but not `RequestRecord`.
fn is_one_word(name: &str) -> bool {
    !name
        .chars()
        .zip(name.chars().skip(1))
        .any(|(before, after)| !before.is_uppercase() && after.is_uppercase())
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// Fails with everything that was found, if that is too much.
fn at_most(most: f64, rule: &str, found: Vec<String>, of: usize) {
    let share = percent(found.len(), of);
    let found = if share < most { Vec::new() } else { found };
    none(&format!("{rule}: {share:.1} %, the limit is {most:.1} %"), found);
}

#[test]
fn most_type_names_are_of_two_words() {
    let types = types();
    let single = types.iter().filter(|one| is_one_word(&one.name)).map(|one| one.at.clone()).collect();
    at_most(ONE_WORD_MAX, "type names of one word", single, types.len());
}

#[test]
fn a_type_name_stands_for_one_type() {
    let types = types();
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in &types {
        places.entry(&one.name).or_default().push(&one.at);
    }
    places.retain(|_, places| places.len() > 1);
    let unlisted = places.iter().filter(|(name, _)| SHARED.iter().all(|(listed, _)| listed != *name));
    let unlisted: Vec<String> = unlisted.flat_map(|(_, places)| places).map(|at| (*at).to_owned()).collect();
    let stale = SHARED.iter().filter(|(name, _)| !places.contains_key(name));
    none("listed as shared, and is not", stale.map(|(name, _)| (*name).to_owned()));
    let listed = places.values().map(Vec::len).sum::<usize>() - unlisted.len();
    at_most(
        SHARED_MAX,
        "listed type names that stand for several types",
        vec![String::new(); listed],
        types.len(),
    );
    none(&format!("type names that stand for several types, of {}", types.len()), unlisted);
}

#[test]
fn doc_paragraphs_begin_with_their_subject() {
    let sources = Source::all(&["src"]);
    let paragraphs: Vec<(&Source, Paragraph)> = sources
        .iter()
        .flat_map(|source| paragraphs(&source.text).into_iter().map(move |one| (source, one)))
        .collect();
    assert!(paragraphs.len() > 1000, "only {} doc paragraphs were found", paragraphs.len());
    let pronouns = paragraphs.iter().filter(|(_, one)| begins_with_pronoun(one.text));
    let found = pronouns.map(|(source, one)| source.at(one.line, one.text)).collect();
    at_most(PRONOUN_MAX, "doc paragraphs that begin with a pronoun", found, paragraphs.len());
}

/// The first line of a paragraph in a doc comment.
struct Paragraph<'a> {
    line: usize,
    text: &'a str,
}

/// Without code, headings, lists and tables.
fn paragraphs(text: &str) -> Vec<Paragraph<'_>> {
    let mut found = Vec::new();
    let (mut in_paragraph, mut in_code) = (false, false);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(doc) = doc.map(str::trim) else {
            (in_paragraph, in_code) = (false, false);
            continue;
        };
        let is_fence = doc.starts_with("```");
        in_code ^= is_fence;
        let is_text = !in_code && !is_fence && !doc.is_empty();
        if is_text && !in_paragraph && !doc.starts_with(['#', '|', '*', '-', '<', '1']) {
            found.push(Paragraph { line: index + 1, text: doc });
        }
        in_paragraph = is_text;
    }
    found
}

fn begins_with_pronoun(text: &str) -> bool {
    let word = text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    PRONOUNS.contains(&word.to_lowercase().as_str())
}

#[test]
fn words_are_told_apart() {
    for (line, name) in [
        ("pub(super) struct RequestRecord<'a> {", Some("RequestRecord")),
        ("type Job = Box<dyn FnOnce()>;", Some("Job")),
        ("    type Err = Infallible;", None),
        ("let type_of = 1;", None),
    ] {
        assert_eq!(type_name(line), name, "{line}");
    }
    assert!(is_one_word("Request") && is_one_word("Part10") && !is_one_word("AeTitle"));
    let docs = "//! What it is.\n//! It goes on.\n//!\n//! * That is a list.\n\n/// A job,\n/// which runs.\nfn f() {}\n";
    let pronouns: Vec<usize> =
        paragraphs(docs).iter().filter(|one| begins_with_pronoun(one.text)).map(|one| one.line).collect();
    assert_eq!(pronouns, [1]);
    assert_eq!(paragraphs(docs).len(), 2);
}
