//! The folder in which the steps of a program work: where their files are looked for, and what a call finds there.

use flow::dataflow::ResponseVerdict;
use flow::step::FaultKind;

use crate::program_steps::{COUNT_SH, Steps, fault, has_numpy, has_python, run, text, which_python};

const GIVE: &str = "  give: {step: give, needs: {item: request.items}}";

/// A step with this body that gives files.
fn giving(body: &str) -> Steps {
    Steps::python(&format!(
        "import json, os, pathlib, tempfile\n@step\ndef give(item: 'item') -> 'files':\n    {body}\n"
    ))
}

#[test]
fn a_step_that_leaves_its_folder_loses_no_files() {
    if !has_python() {
        return;
    }
    let leave = "os.chdir(tempfile.mkdtemp())";
    let steps = giving(&format!(
        "if item.text() != 'stays': {leave}\n    open('own.txt', 'w').write('own')\n    \
         return {{item.text() + '/report.txt': 'important', item.text() + '/own.txt': pathlib.Path('own.txt')}}"
    ));
    let dataflow = steps.load(GIVE);
    let (response, files) = run(&dataflow, &["leaves", "stays", "leaves again"]);
    assert_eq!(response.verdict, ResponseVerdict::Complete, "{:?}", response.steps);
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let of = |call: &str| [format!("{call}/own.txt"), format!("{call}/report.txt")];
    assert_eq!(names, ["leaves", "stays", "leaves again"].map(of).concat());

    let array = format!(
        "import numpy, os, tempfile\n@step\ndef make(item: 'item') -> 'array':\n    {leave}\n    \
         return numpy.ones(3)\n@step\ndef give(array: 'array') -> 'files':\n    \
         return {{'sum': str(int(array.numpy.sum()))}}\n"
    );
    let chained =
        "  make: {step: make, needs: {item: request.items}}\n  give: {step: give, needs: {array: make}}";
    if has_numpy() {
        let python = format!("{{run: [{}, steps.py], memory: 16 GiB}}", which_python());
        let dataflow = Steps::python(&array).load_with(&python, chained).unwrap_or_else(|it| panic!("{it}"));
        assert_eq!(text(&dataflow, &["a"]), "3");
    }
    let blocked = "os.chdir('/')\n    global back\n    back = os.chdir\n    \
                   os.chdir = lambda place: back('/nowhere')\n    return {'a.txt': 'a'}";
    let (_, said) = fault(&giving(blocked).load(GIVE));
    assert!(said.reason.contains("left its working directory, and it cannot be gone back to"), "{said}");
    assert_eq!(said.kind, FaultKind::Broken);
}

#[test]
fn a_call_finds_no_files_of_another_one() {
    if !has_python() {
        return;
    }
    let body = "had = sorted(os.listdir('.'))\n    open('note', 'w').write(item.text())\n    \
                os.makedirs('deep/er')\n    open('deep/er/note', 'w').write(item.text())\n    \
                os.chmod('deep', 0)\n    os.symlink('/', 'link')\n    \
                kept = os.path.join(tempfile.gettempdir(), 'kept')\n    open(kept, 'a').write(item.text())\n    \
                return {'had.json': [had, open('made').read(), open(kept).read()]}";
    let steps = Steps::python(&format!(
        "import os, tempfile\nopen('made', 'w').write('at first')\n@step\ndef give(item: 'item') -> 'files':\n    {body}\n"
    ));
    let dataflow = steps.load(GIVE);
    let said: Vec<(Vec<String>, String, String)> = [&["a"], &["b"]]
        .map(|items| serde_json::from_str(&text(&dataflow, items)).unwrap())
        .into_iter()
        .collect();
    let [(first, made, kept), (second, made_still, kept_still)] = &said[..] else { panic!("two calls") };
    assert_eq!(first, second);
    assert!(!first.contains(&"note".to_owned()) && first.contains(&"made".to_owned()), "{first:?}");
    assert_eq!([made, made_still], ["at first"; 2], "what the program made before its steps stays");
    assert_eq!([kept, kept_still], ["a", "ab"], "temporary files stay as long as the process");
}

#[test]
fn a_path_as_a_file_stands_for_its_bytes() {
    if !has_python() {
        return;
    }
    let copied = giving("return {'copy.txt': item.path}").load(GIVE);
    assert_eq!(text(&copied, &["the bytes"]), "the bytes");
    let kinds = giving(
        "return {'kinds.json': [isinstance(item.path, pathlib.Path), open(item.path).read(), \
         os.path.basename(item), item.text(), item.bytes().decode(), item.open().read().decode()]}",
    );
    let said: serde_json::Value = serde_json::from_str(&text(&kinds.load(GIVE), &["a"])).unwrap();
    assert_eq!(said, serde_json::json!([true, "a", "item", "a", "a", "a"]));
}

#[test]
fn files_that_a_program_names_have_to_be_there() {
    let lines = "  lines: {step: count-lines, needs: {item: request.items}}";
    let given = |files: &str| {
        let said = format!("\"outputs\":{{\"files\":{files}}}");
        let code = COUNT_SH.replace("\"outputs\":{}", &said);
        assert_ne!(code, COUNT_SH);
        let steps = Steps::of("count.sh", &code);
        (steps.load_with("count.sh", lines).unwrap_or_else(|it| panic!("{it}")), steps)
    };
    for files in ["null", "[]", "[\"lines.txt\"]"] {
        assert_eq!(text(&given(files).0, &["a\n"]), "1\n", "{files}");
    }
    for (files, expected) in [
        (
            "[\"lines.txt\",\"gone.txt\"]",
            "gave the file \"gone.txt\" of its output \"files\", and it is not in out/files/",
        ),
        ("{\"lines.txt\":\"1\"}", "the output \"files\" is not null or the list of its files in out/files/"),
        ("[1]", "gave the file 1 of"),
    ] {
        let (_, said) = fault(&given(files).0);
        assert!(said.reason.contains(expected) && said.kind == FaultKind::Broken, "{said}");
    }
    let left = COUNT_SH.replace("  mkdir -p out/files\n", "  cd \"$TMPDIR\"; mkdir -p out/files\n");
    let named = left.replace("\"outputs\":{}", "\"outputs\":{\"files\":[\"lines.txt\"]}");
    assert!(left != COUNT_SH && named != left);
    let steps = Steps::of("count.sh", &named);
    let (_, said) = fault(&steps.load_with("count.sh", lines).unwrap_or_else(|it| panic!("{it}")));
    assert!(said.reason.contains("it is not in out/files/"), "{said}");
}

#[test]
fn faults_do_not_name_the_folders_of_a_process() {
    if !has_python() {
        return;
    }
    let interrupted = giving("raise KeyboardInterrupt");
    let (_, said) = fault(&interrupted.load(GIVE));
    assert!(said.reason.contains("signal 2") || said.reason.contains("exit code"), "{said}");
    let (_, again) = fault(&interrupted.load(GIVE));
    assert_eq!(said.reason, again.reason, "another process says the same");
    for (body, expected) in [
        ("open(str(item.path) + '.absent')", "/…/in/item.absent"),
        ("open(os.path.abspath('absent'))", "'/…/absent'"),
        ("raise Fault(f'no image: {item.path}')", "no image: /…/in/item"),
    ] {
        let (_, said) = fault(&giving(body).load(GIVE));
        assert!(said.reason.contains(expected), "{said}");
        let log = String::from_utf8_lossy(said.log.0.as_deref().unwrap()).into_owned();
        assert!(!log.contains("flow-inputs-") && !log.contains("flow-steps-"), "{log}");
    }
    let printed = COUNT_SH.replace("  mkdir -p out/files\n", "  echo \"$path\"\n");
    let steps = Steps::of("count.sh", &printed);
    let lines = "  lines: {step: count-lines, needs: {item: request.items}}";
    let (_, said) = fault(&steps.load_with("count.sh", lines).unwrap_or_else(|it| panic!("{it}")));
    assert!(said.reason.contains(": /…/in/item"), "{said}");
}
