//! Dataflow files and what is said of them.
//!
//! Each `tests/dataflows/NAME.yaml` has its `NAME.expected` beside it: the problems as a person sees
//! them, or the drawing of a sound dataflow. With `FLOW_ACCEPT` set, the files are written anew from
//! what the code says; the difference is then for a person to judge.

use crate::support::steps;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use flow::dataflow::Dataflow;
use flow::step::{Digest, ResponseFiles, Step, StepTable};
use flow::yaml::Problems;

fn check(input: &Path, expected: &Path) {
    let text = fs::read_to_string(input).unwrap();
    let name = input.file_name().unwrap().to_str().unwrap();
    let said = match Dataflow::parse(name, &text, &steps::table()) {
        Ok(dataflow) => dataflow.drawing(),
        Err(problems) => format!("{problems}\n"),
    };
    compare(&said, expected);
}

fn compare(said: &str, expected: &Path) {
    if std::env::var_os("FLOW_ACCEPT").is_some() {
        fs::write(expected, said).unwrap();
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    assert_eq!(said, wanted, "\nthis is said:\n{said}\nbut {} has\n{wanted}", expected.display());
}

#[test]
fn files_and_what_is_said_of_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dataflows");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    inputs.sort();
    assert!(inputs.len() > 20, "the fixtures are missing");
    inputs.iter().for_each(|input| check(input, &input.with_extension("expected")));
}

#[test]
fn an_address_or_header_field_that_cannot_be_sent_is_a_problem_at_its_line() {
    let text = "dataflow: x
steps:
  orders: {step: read-json-lines, needs: {request: request}}
  asked:
    step: call-http
    needs: {item: orders}
    with:
      url: htp://prices.example.org
      headers:
        - 'X-Trace: on'
        - 'X Trace: on'
        - \"Authorization: Bearer a\\nb\"
  numbers: {step: pick-number, needs: {item: asked}, with: {field: /answer, group: /kind}}
  total: {step: total-json, needs: {numbers: numbers}}
  report: {step: write-total, needs: {total: total}}
response: [report]
";
    let said = |text: &str| Dataflow::parse("x.yaml", text, &StepTable::built_in()).map(|_| ());
    let problems = said(text).unwrap_err();
    let lines: Vec<(usize, &str)> = problems.iter().map(|one| (one.line, one.message.as_str())).collect();
    assert_eq!(
        lines,
        [
            (8, "the parameter \"url\": it is no address: write http://HOST/PATH or https://HOST/PATH"),
            (
                11,
                "the parameter \"headers\": what stands before the colon is no name of a header field: write NAME: VALUE"
            ),
            (
                12,
                "the parameter \"headers\": the value of the header field Authorization has characters that none can have"
            ),
        ]
    );
    assert!(problems.iter().all(|one| one.hint.is_some()));
    let sound = text.replace("htp:", "http:").replace("X Trace", "X-Span").replace("\\n", "-");
    assert_eq!(said(&sound).map_err(|problems| problems.to_string()), Ok(()));
}

#[cfg(all(feature = "books", feature = "chat"))]
#[test]
fn an_address_of_any_step_that_cannot_be_called_is_a_problem() {
    let cases = [
        (
            "books",
            "url: \"sample:/books/{barcode}\"",
            "url: \"https://books.example.org:x/{barcode}\"",
            "url",
        ),
        ("books", "url: \"sample:/books/{barcode}\"", "url: \"sample:\"", "url"),
        ("books", "inventory: \"sample:/all_books\"", "inventory: \"http://:80/all_books\"", "inventory"),
        ("books", "passphrase: \"sample:\"", "passphrase: sesame", "passphrase"),
        ("books", "store: done_bucket", "store: s3://", "store"),
        ("books", "store: done_bucket", "store: s3://library, endpoint: s3.example.org", "endpoint"),
        ("books", "store: done_bucket", "store: s3://library, credentials: 'a:b'", "credentials"),
        ("chat", "model: m", "model: m, url: 127.0.0.1", "url"),
        ("chat", "model: m", "model: m, url: 'site:', fallback_url: 'http://a:99999'", "fallback_url"),
    ];
    let chat = "dataflow: chat
steps:
  lines: {step: read-json-lines, needs: {request: request}}
  asked: {step: call-model, needs: {item: lines}, with: {model: m, prompt: hello}}
  numbers: {step: pick-number, needs: {item: asked}, with: {field: /answer, group: /kind}}
  total: {step: total-json, needs: {numbers: numbers}}
  report: {step: write-total, needs: {total: total}}
response: [report]
";
    for (name, sound, wrong, parameter) in cases {
        let text = Dataflow::built_in(name).unwrap_or(chat);
        assert!(Dataflow::parse(name, text, &StepTable::built_in()).is_ok());
        assert!(text.contains(sound), "{sound}");
        let problems =
            Dataflow::parse(name, &text.replace(sound, wrong), &StepTable::built_in()).unwrap_err();
        let said = format!("the parameter \"{parameter}\": ");
        assert!(problems.iter().all(|problem| problem.message.starts_with(&said)), "{wrong}: {problems}");
        assert!(
            problems.iter().all(|problem| !problem.message.contains("sesame")),
            "it may be the secret itself"
        );
    }
}

#[test]
fn drawings_for_other_programs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dataflows");
    for name in ["ct-lung", "switches"] {
        let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let dataflow = Dataflow::parse(name, &text, &steps::table()).unwrap();
        compare(&dataflow.dot(), &folder.join(format!("{name}.dot")));
        compare(&dataflow.mermaid(), &folder.join(format!("{name}.mermaid")));
    }
}

const CT_LUNG: &str = include_str!("../dataflows/ct-lung.yaml");

fn parse(text: &str) -> Result<Dataflow, Problems> {
    Dataflow::parse("x.yaml", text, &steps::table())
}

fn digest(text: &str) -> Digest {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems}")).digest()
}

#[test]
fn the_digest_is_of_what_a_file_means() {
    let base = "dataflow: x
steps:
  headers: {step: read-header, needs: {file: request.items}}
  page: {step: write-header, needs: {header: headers}}
  series: {step: sort-series, needs: {headers: headers}}
  volume: {step: assemble-volume, needs: {series: series}}
  lungs: {step: find-lungs, needs: {volume: volume}}
response: [page]
";
    let with = |from: &str, to: &str| {
        assert!(base.contains(from));
        digest(&base.replace(from, to))
    };
    let same = [
        with("dataflow: x", "# comment\n\ndataflow:   \"x\"\nabout: other words"),
        with("{volume: volume}}", "{volume: volume}, with: {threshold: -400, airways: true}}"),
        with("{volume: volume}}", "{volume: volume.volume}, enabled: true, limits: {max: 3}}"),
        with("{volume: volume}}", "{volume: volume}, timeout: 3 s, retry: {count: 2}}"),
        with("dataflow: x", "limits: {memory: {fixed: 1 GiB}, deadline: 1 h}\ndataflow: x"),
        with("dataflow: x", "on_failure: continue\ndataflow: x"),
        with("[page]", "[page.files]"),
    ];
    same.iter().for_each(|other| assert_eq!(*other, digest(base)));
    let different = [
        digest(base),
        with("dataflow: x", "dataflow: y"),
        with("dataflow: x", "on_failure: stop\ndataflow: x"),
        with("page", "pages"),
        with("{volume: volume}}", "{volume: volume}, with: {threshold: -401}}"),
        with("{volume: volume}}", "{volume: volume}, enabled: false}"),
        with("{volume: volume}}", "{volume: volume}, when: {modality: CT}}"),
        with("{volume: volume}}", "{volume: volume}, when: {modality: {not: CT}}}"),
        with("response: [page]", "  other: {step: write-header, needs: {header: headers}}\nresponse: [page]"),
    ];
    assert_eq!(BTreeSet::from(different).len(), different.len());
}

#[test]
fn the_digest_is_of_the_version_of_a_step() {
    let text = "{dataflow: x, steps: {a: {step: s}}, response: [a]}";
    let of = |version| {
        let table = flow::step::StepTable::default()
            .with(Step::new("s", version, "").gives::<ResponseFiles>("files"));
        Dataflow::parse("x", text, &table).unwrap().digest()
    };
    assert_ne!(of(1), of(2));
}

/// A linear congruential generator (Knuth, MMIX): the same texts in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Whatever the text, there is a dataflow or at least one problem, each at a place that exists.
fn survives(text: &str) -> bool {
    let Err(problems) = parse(text) else { return true };
    assert!(problems.iter().len() > 0);
    let lines = text.lines().count().max(1);
    for problem in problems.iter() {
        assert!((1..=lines + 1).contains(&problem.line), "{problem}\nin\n{text}");
        assert!(problem.column >= 1 && problem.width >= 1 && !problem.message.is_empty());
        assert!(problem.to_string().lines().count() >= 3);
    }
    false
}

#[test]
fn every_beginning_of_a_file_is_read_or_refused() {
    let ends = (0..CT_LUNG.len()).filter(|end| CT_LUNG.is_char_boundary(*end));
    let sound = ends.filter(|end| survives(&CT_LUNG[..*end])).count();
    assert!(sound > 0 && survives(CT_LUNG), "the file without its failure part is sound");
}

#[test]
fn damaged_files_are_read_or_refused() {
    let mut random = Random(7);
    let lines: Vec<&str> = CT_LUNG.lines().collect();
    let refused = (0..3000).filter(|_| !survives(&damaged(&lines, &mut random))).count();
    assert!(refused > 1000, "only {refused} of 3000 were refused");
}

fn damaged(lines: &[&str], random: &mut Random) -> String {
    const PIECES: [&str; 16] =
        ["{", "}", "[", "]", ":", "- ", "\"", "'", "&a ", "*a", "!", "|", "\t", "\n", "ü", "request.items"];
    let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    for _ in 0..=random.below(4) {
        let at = random.below(lines.len());
        match random.below(4) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(random.below(at + 1), lines[at].clone()),
            2 => {
                let other = random.below(lines.len());
                lines.swap(at, other);
            }
            _ => {
                let letters: Vec<usize> =
                    lines[at].char_indices().map(|(index, _)| index).chain([0]).collect();
                lines[at]
                    .insert_str(letters[random.below(letters.len())], PIECES[random.below(PIECES.len())]);
            }
        }
    }
    lines.join("\n")
}
