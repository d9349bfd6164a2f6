//! Programs that see an unpacked image instead of the system's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flow::dataflow::ResponseVerdict;

use crate::program_confinement::FlowUser;
use crate::run::Place;

/// What the program says about what it sees.
const LOOKS: &str = "
cat of-nothing /of-image > out/file 2>/dev/null
ls / > out/root
echo $FOLDER $PWD > out/folder
cat items/00001 > out/item
cat /proc/1/comm > out/first
echo x > /dev/null && echo taken > out/null
echo x 2>/dev/null > /of-image || echo refused > out/written
ls HOST /proc/1/root/HOST >/dev/null 2>&1 || echo unseen > out/host
chmod 777 /of-image 2>/dev/null || chmod 777 /dev/null 2>/dev/null || echo refused > out/mode
ls /dev > out/devices
echo shared > /dev/shm/own && cat /dev/shm/own > out/shared
ls /proc/self/fd/9/ >/dev/null 2>&1 || echo closed > out/handle
";

/// An image of a shell and a few programs with their libraries, and a file of its own.
fn unpack_image(root: &Path) {
    for folder in ["proc", "dev", "tmp"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for program in ["/bin/sh", "/bin/cat", "/bin/ls", "/bin/chmod"] {
        let needed = Command::new("ldd").arg(program).output().unwrap();
        let needed = String::from_utf8(needed.stdout).unwrap();
        let libraries = needed.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([program]) {
            let copy = root.join(&file[1..]);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(file, copy).unwrap();
        }
    }
    fs::write(root.join("of-image"), "of the image\n").unwrap();
}

/// Runs a shell of the image; gives the folder of the response, and what it says went wrong.
fn run(user: &FlowUser, place: &Place, script: &str, more: &str) -> (PathBuf, Option<String>) {
    let root = place.path("image");
    let with = format!("program: /bin/sh, arguments: [-c, {script:?}], root: {root:?}{more}");
    let step = format!("{{step: run-program, needs: {{request: request}}, with: {{{with}}}}}");
    let text = format!("dataflow: image\nsteps: {{image: {step}}}\nresponse: [image]\n");
    fs::write(place.path("image.yaml"), text).unwrap();
    fs::write(place.path("item"), "the item\n").unwrap();
    let ended = user.command(place, &["run", "image.yaml", "--files", "item"]).output().unwrap();
    let (folder, response) = place.response("flow-output");
    let fault = response.faults().next().map(|(_, fault)| fault.to_string());
    assert_eq!(fault.is_none(), response.verdict == ResponseVerdict::Complete, "{ended:?}");
    (folder, fault)
}

#[test]
fn a_program_sees_the_files_of_its_image_alone() {
    // Who starts flow has a handle open that leads out.
    let open = ["sh", "-c", "exec 9</ && exec \"$@\"", "sh"];
    let careless = FlowUser::new("one with an open handle", open.to_vec());
    for user in FlowUser::all().into_iter().chain(careless) {
        let place = Place::new();
        unpack_image(&place.path("image"));
        let script = LOOKS.replace("HOST", &place.path("item").display().to_string());
        let (folder, fault) = run(&user, &place, &script, ", environment: {FOLDER: \"{folder}\"}");
        if !user.has_namespaces {
            assert!(
                fault.as_ref().is_some_and(|fault| fault.contains("can make no namespaces")),
                "{fault:?}"
            );
            continue;
        }
        assert_eq!(fault, None, "{}", user.name);
        let said = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let mut seen: Vec<String> = fs::read_dir(place.path("image"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        seen.sort();
        assert_eq!(said("root").lines().collect::<Vec<_>>(), seen, "{}", user.name);
        assert_eq!(said("file"), "of the image\n", "{}", user.name);
        assert_eq!(said("folder"), "/tmp /tmp\n", "{}", user.name);
        assert_eq!(said("item"), "the item\n", "{}", user.name);
        assert_eq!(said("first"), "cat\n", "{}: its own processes", user.name);
        let ends =
            [said("null"), said("written"), said("host"), said("mode"), said("shared"), said("handle")];
        let wanted = ["taken\n", "refused\n", "unseen\n", "refused\n", "shared\n", "closed\n"];
        assert_eq!(ends, wanted, "{}", user.name);
        let devices = ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"];
        assert_eq!(said("devices").lines().collect::<Vec<_>>(), devices, "{}", user.name);
        let image = fs::read_to_string(place.path("image/of-image")).unwrap();
        assert_eq!(image, "of the image\n");
        for covered in ["tmp", "dev"] {
            assert_eq!(fs::read_dir(place.path("image").join(covered)).unwrap().count(), 0, "{covered}");
        }
    }
}

#[test]
fn what_cannot_be_a_root_is_refused_with_the_reason() {
    let user = FlowUser::this();
    if !user.has_namespaces {
        println!("skipped: no namespaces");
        return;
    }
    let refused = |change: fn(&Path), script: &str, more: &str, reason: &str| {
        let place = Place::new();
        unpack_image(&place.path("image"));
        change(&place.path("image"));
        let (_, fault) = run(&user, &place, script, more);
        assert!(fault.as_ref().is_some_and(|fault| fault.contains(reason)), "{fault:?}: {reason}");
    };
    refused(|image| fs::remove_dir(image.join("tmp")).unwrap(), "true", "", "cannot be used");
    let link = |image: &Path| {
        fs::remove_dir(image.join("tmp")).unwrap();
        std::os::unix::fs::symlink("/etc", image.join("tmp")).unwrap();
    };
    refused(link, "true", "", "cannot be used");
    let all = |image: &Path| {
        fs::remove_dir_all(image).unwrap();
        std::os::unix::fs::symlink("/", image).unwrap();
    };
    refused(all, "true", "", "is not the absolute path of a folder below /");
    refused(|_| {}, "true", ", reads: [/srv/models]", "\"/srv/models\" is outside of it");
    refused(|_| {}, "exit 3", "", "exit code 3");
    refused(|image| fs::remove_file(image.join("bin/sh")).unwrap(), "true", "", "could not be started");
}
