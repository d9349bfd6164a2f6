//! Unsafe code: it stands in few files, and each block says why it is sound.

use std::collections::BTreeSet;

use crate::source::{Source, none};

/// The files that may have it, and what for.
const FILES: [(&str, &str); 12] = [
    ("src/cli/memory.rs", "a setting of the allocator"),
    ("src/cli/processor_time.rs", "a clock of the system"),
    ("src/cli/signals.rs", "the present action of a signal"),
    ("src/dicom/intake/replacement.rs", "a file that is mapped into memory"),
    ("src/program/child.rs", "what happens between fork and exec"),
    ("src/program/namespaces.rs", "processes and namespaces"),
    ("src/program/piped.rs", "what happens between fork and exec"),
    ("src/program/program_root.rs", "mounts"),
    ("src/program/sandbox.rs", "rules of Landlock"),
    ("src/program/syscall_filter.rs", "filters of system calls"),
    ("src/program/writable_places.rs", "mounts"),
    ("src/step/item.rs", "a file that is mapped into memory"),
];

const FORMS: [&str; 4] = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];

/// The numbers of the lines that have unsafe code, from 1.
fn unsafe_lines(source: &Source) -> impl Iterator<Item = usize> + '_ {
    let lines = source.text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let found = lines.enumerate().filter(|(_, code)| FORMS.iter().any(|form| code.contains(form)));
    found.map(|(index, _)| index + 1)
}

/// Whether the comment that ends above a line says why the line is sound.
fn is_justified(source: &Source, line: usize) -> bool {
    let lines: Vec<&str> = source.text.lines().collect();
    let comment = lines[..line - 1].iter().rev().map(|line| line.trim_start());
    comment.take_while(|line| line.starts_with("//")).any(|line| line.starts_with("// SAFETY: "))
}

#[test]
fn unsafe_code_stands_in_few_files_and_says_why_it_is_sound() {
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for source in Source::all(&["src"]) {
        for line in unsafe_lines(&source) {
            used.insert(source.path.clone());
            if !FILES.iter().any(|(path, _)| *path == source.path) {
                wrong.push(source.at(line, "unsafe code in a file that is not listed"));
            }
            if !is_justified(&source, line) {
                wrong.push(source.at(line, "no comment `// SAFETY: ` right above it"));
            }
        }
    }
    let unused = FILES.iter().filter(|(path, _)| !used.contains(*path));
    wrong.extend(unused.map(|(path, _)| format!("{path} has no unsafe code any more")));
    none("unsafe code", wrong);
}

#[test]
fn a_reason_counts_only_right_above_the_code() {
    let source = |text: &str| Source { path: "x.rs".to_owned(), text: text.to_owned() };
    for (text, is_sound) in [
        ("// SAFETY: it only reads.\nlet one = unsafe { two() };", true),
        ("// SAFETY: it only\n// reads.\nunsafe impl One for Two {}", true),
        ("// SAFETY: it only reads.\nthree();\nlet one = unsafe { two() };", false),
        ("// It only reads.\nunsafe { two() }", false),
    ] {
        let source = source(text);
        let lines: Vec<usize> = unsafe_lines(&source).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert_eq!(is_justified(&source, lines[0]), is_sound, "{text}");
    }
    assert_eq!(unsafe_lines(&source("// unsafe { }\nlet policy = \"'unsafe-inline'\";")).count(), 0);
}
