//! Overlays of customers: what they make of their base, their problems, and how rules and commands name them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flow::dataflow::{Dataflow, LoadError};
use flow::site::{Site, built_in_sections};
use flow::step::StepTable;
use tempfile::TempDir;

/// A folder with the overlay of one customer.
struct Customers {
    folder: TempDir,
}

impl Customers {
    fn north(overlay: &str) -> Customers {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("customers")).unwrap();
        fs::write(folder.path().join("customers/north.yaml"), overlay).unwrap();
        Customers { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Result<Dataflow, LoadError> {
        Dataflow::load(self.path("customers/north.yaml").to_str().unwrap(), &StepTable::built_in())
    }

    fn problems(&self) -> String {
        self.load().unwrap_err().to_string()
    }

    /// Exit code, stdout and stderr of flow in the folder.
    fn flow(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        let output = command.args(arguments).current_dir(self.folder.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

const NORTH: &str = "customer: north
dataflow: ct-lung
limits: {deadline: 1 h}
priority: off-peak
share: 3
steps:
  page: {enabled: false}
  densities: {with: {peel_mm: 10}}
  overlay: {step: write-overlay, needs: {request: request, series: series, volume: volume, lungs: lungs}, with: {spacing_mm: 5}}
response: {add: [overlay], remove: [page]}
on_failure: stop
";

const CHANGES: [&str; 8] = [
    "~ densities: peel_mm: 15 mm → 10 mm",
    "~ page: switched off",
    "+ overlay: write-overlay, needs {request: request, series: series.series, volume: volume, lungs: lungs.lungs}, spacing_mm 5 mm",
    "~ response: + overlay, - page",
    "~ on_failure: continue → stop",
    "~ deadline: none → 1 h",
    "~ priority: normal → off-peak",
    "~ share: 1 → 3",
];

#[test]
fn an_overlay_switches_sets_and_inserts() {
    let customers = Customers::north(NORTH);
    let dataflow = customers.load().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(dataflow.name(), "ct-lung-north");
    let base = Dataflow::load("ct-lung", &StepTable::built_in()).unwrap();
    assert_eq!(dataflow.step_count(), base.step_count() + 1);
    assert_ne!(dataflow.digest(), base.digest());
    let mut changes = dataflow.differences_from(&base);
    let mut expected = CHANGES.map(str::to_owned).to_vec();
    changes.sort();
    expected.sort();
    assert_eq!(changes, expected);
    assert_eq!(base.differences_from(&base), Vec::<String>::new());
    // What the journal keeps of it says all, without base and overlay.
    let again = Dataflow::parse("ct-lung-north", dataflow.text(), &StepTable::built_in()).unwrap();
    assert_eq!((again.name(), again.digest()), (dataflow.name(), dataflow.digest()));
    assert_eq!(again.deadline(), dataflow.deadline());
}

#[test]
fn a_step_and_a_key_can_be_taken_away() {
    let customers = Customers::north(
        "customer: north\ndataflow: ../base.yaml\nsteps:\n  a: ~\n  b: {with: {arguments: ~}, timeout: ~}\nresponse: [b]\n",
    );
    let base = "dataflow: base\nsteps:\n  a: {step: run-program, needs: {}, with: {program: 'true'}}\n  b: {step: \
                run-program, needs: {}, timeout: 1 s, with: {program: echo, arguments: [x]}}\nresponse: [a, b]\n";
    fs::write(customers.path("base.yaml"), base).unwrap();
    let dataflow = customers.load().unwrap_or_else(|error| panic!("{error}"));
    let base = Dataflow::load(customers.path("base.yaml").to_str().unwrap(), &StepTable::built_in()).unwrap();
    let changes = dataflow.differences_from(&base);
    let expected =
        ["~ b: arguments: [x] → []; timeout: 1 s → none", "- a: run-program", "~ response: - a.files"];
    assert_eq!(changes, expected);
}

#[test]
fn problems_name_file_line_and_remedy() {
    let with = |changes: &str| Customers::north(&format!("customer: north\ndataflow: ct-lung\n{changes}"));
    for (changes, line, message, hint) in [
        (
            "steps:\n  lugns: {enabled: false}\n",
            4,
            "has no step \"lugns\" to change",
            "did you mean \"lungs\"?",
        ),
        (
            "steps:\n  colours: {enabled: false}\n",
            4,
            "has no step \"colours\"",
            "is inserted has the key `step`",
        ),
        ("steps:\n  densities: {with: {peel_mm: thick}}\n", 4, "\"peel_mm\" takes a number from", "peel_mm"),
        ("steps:\n  densities: {with: {peel: 1}}\n", 4, "no parameter \"peel\"", "peel_mm"),
        ("steps:\n  densities: {neds: {}}\n", 4, "has no key \"neds\"", "did you mean \"needs\"?"),
        (
            "steps:\n  more: {step: write-overlay, needs: {request: request, series: series, volume: volume}}\n",
            4,
            "lacks the need \"lungs\"",
            "lungs can be had from lungs",
        ),
        (
            "steps:\n  more: {step: draw-pictures, needs: {volume: volume, lungs: lugns, densities: densities}}\n",
            4,
            "no step \"lugns\"",
            "did you mean \"lungs\"?",
        ),
        ("response: {remove: [paeg]}\n", 3, "has no part \"paeg\"", "did you mean \"page\"?"),
        ("responses: []\n", 3, "the overlay has no key \"responses\"", "did you mean \"response\"?"),
        ("steps: {a: [\n", 4, "this is not YAML", ""),
    ] {
        let said = with(changes).problems();
        assert!(said.contains(&format!("north.yaml:{line}:")), "{changes}: {said}");
        assert!(said.contains(message) && said.contains(hint), "{changes}: {said}");
    }
    let said = Customers::north("customer: north\ndataflow: ct-lugn\n").problems();
    assert!(said.contains("north.yaml:2:11: the base \"ct-lugn\" cannot be read"), "{said}");
    assert!(said.contains("did you mean \"ct-lung\"?"), "{said}");
    let said = Customers::north("customer: north\n").problems();
    assert!(said.contains("lacks the key \"dataflow\""), "{said}");
    let said = Customers::north("customer: Nörth\ndataflow: ct-lung\n").problems();
    assert!(said.contains("north.yaml:1:11") && said.contains("is not a name"), "{said}");
}

#[test]
fn a_problem_of_the_base_names_the_base() {
    let customers = Customers::north("customer: north\ndataflow: ../base.yaml\n");
    fs::write(
        customers.path("base.yaml"),
        "dataflow: base\nsteps:\n  a: {step: none, needs: {}}\nresponse: [a]\n",
    )
    .unwrap();
    let said = customers.problems();
    assert!(said.contains("base.yaml:3:13: the step \"none\" is not known"), "{said}");
    fs::write(customers.path("base.yaml"), NORTH).unwrap();
    assert!(customers.problems().contains("is an overlay itself"));
}

#[test]
fn the_commands_name_a_customer() {
    let customers = Customers::north(NORTH);
    let (code, out, err) = customers.flow(&["check", "--customer", "north"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains(": ct-lung-north, ") && CHANGES.iter().all(|change| out.contains(change)), "{out}");
    let (code, out, _) = customers.flow(&["graph", "--customer", "north", "--diff"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("ct-lung ") && out.lines().next().unwrap().contains(" → ct-lung-north "),
        "{out}"
    );
    assert_eq!(out.lines().count(), 1 + CHANGES.len());
    let (_, out, _) = customers.flow(&["graph", "--customer", "north"]);
    assert!(out.starts_with("ct-lung-north ") && out.contains("○"), "{out}");
    let (code, _, err) = customers.flow(&["graph", "--customer", "nroth", "--diff"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean \"north\"?"), "{err}");
    let (code, _, err) = customers.flow(&["graph", "ct-lung", "--diff"]);
    assert_eq!(code, 2);
    assert!(err.contains("is no overlay"), "{err}");
    let (code, _, err) = customers.flow(&["check", "--customer", "south"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no customer \"south\""), "{err}");
}

#[test]
fn a_customer_for_whom_nothing_is_left_is_warned_of() {
    let customers = Customers::north("customer: north\ndataflow: tally\nsteps: {jobs: {enabled: false}}\n");
    let (code, _, err) = customers.flow(&["check", "--customer", "north"]);
    assert_eq!(code, 0);
    let says = "warning: the response has no files, because the step \"jobs\" is switched off\n";
    assert!(err.ends_with(says), "{err}");
}

#[test]
fn rules_of_a_site_choose_the_customer() {
    let customers = Customers::north(NORTH);
    let site = |text: &str| Site::parse("site.yaml", text, customers.folder.path(), &built_in_sections());
    let rules = "rules: [{when: {calling_ae: NORTH}, customer: north}, {default: ct-lung}]";
    let found = site(rules).unwrap().rules.unwrap();
    assert!(Path::new(&found.rules[0].dataflow).ends_with("customers/north.yaml"));
    let said = site(&rules.replace("customer: north", "customer: nroth")).unwrap_err().to_string();
    assert!(said.contains("site.yaml:1:") && said.contains("did you mean \"north\"?"), "{said}");
    fs::rename(customers.path("customers"), customers.path("others")).unwrap();
    assert!(site(rules).is_err());
    assert!(site(&format!("customers: others\n{rules}")).is_ok());
    fs::write(customers.path("site.yaml"), format!("customers: others\n{rules}\n")).unwrap();
    let request = ["check", "--site", "site.yaml", "--request", "calling_ae=NORTH"];
    let (code, out, err) = customers.flow(&request);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("others/north.yaml, by rule 1 (line 2)"), "{out}");
    assert!(out.contains("~ page: switched off"), "{out}");
    let (code, _, _) = customers.flow(&["graph", "--customer", "north", "--site", "site.yaml", "--diff"]);
    assert_eq!(code, 0);
}

const BASE: &str = "dataflow: base
steps:
  rows: {step: read-json-lines, needs: {request: request}}
  number: {step: pick-number, needs: {item: rows}, with: {field: /n, group: /north}}
  total: {step: total-json, needs: {numbers: number}}
  written: {step: write-total, needs: {total: total}}
response: [written]
";

#[test]
fn the_answers_of_two_customers_to_one_input_have_two_folders() {
    let customers = Customers::north(
        "customer: north\ndataflow: ../base.yaml\nsteps:\n  number: {with: {group: /north}}\n",
    );
    let south = "customer: south\ndataflow: ../base.yaml\nsteps:\n  number: {with: {group: /south}}\n";
    fs::write(customers.path("customers/south.yaml"), south).unwrap();
    fs::write(customers.path("base.yaml"), BASE).unwrap();
    fs::write(customers.path("a.jsonl"), "{\"n\": 1, \"north\": \"N\", \"south\": \"S\"}\n").unwrap();
    // The third and the fourth run deliver again.
    for name in ["north", "south", "north", "south"] {
        let overlay = format!("customers/{name}.yaml");
        let (code, _, err) = customers.flow(&["run", &overlay, "--files", "a.jsonl"]);
        assert_eq!(code, 0, "{err}");
    }
    let mut found: Vec<(String, String)> = fs::read_dir(customers.path("flow-output"))
        .unwrap()
        .map(|folder| {
            let folder = folder.unwrap();
            let groups = fs::read_to_string(folder.path().join("total.csv")).unwrap();
            (folder.file_name().into_string().unwrap(), groups.lines().nth(1).unwrap().to_owned())
        })
        .collect();
    found.sort();
    let name = found[0].0.clone();
    let expected =
        [(name.clone(), "\"N\",1,1".to_owned()), (format!("{name}-base-south"), "\"S\",1,1".to_owned())];
    assert_eq!(found, expected);
    let (code, _, err) = customers.flow(&["explain", &name]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("  base-north  ") && err.contains("  base-south  "), "both are named: {err}");
}
