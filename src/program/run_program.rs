//! `run-program`: runs a program with files as inputs and results, and with reservations.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::json;

use crate::step::{
    BuiltIn, Call, Fault, FaultKind, Item, JsonValue, Parameter, Request, ResponseFiles, Step, StepOutputs,
    StepReservations,
};

use super::child::{self, ProgramEnd, ProgramOrder};
use super::folder::{ProgramFolder, ProgramFolderError, last_words};
use super::folder_plan;
use super::program_root::{self, ProgramRootError};
use super::reservations::{self, ProgramReservationError, RESERVATIONS_FILE};
use super::sandbox_grants::{NetworkAccess, ProgramGrants};

/// The exit code for a temporary failure (`EX_TEMPFAIL` of sysexits.h): another run may succeed.
const TEMPORARY: i32 = 75;

fn step() -> Step {
    let number = Parameter::number;
    Step::new("run-program", 2, "Runs a program in a private folder; files in out/ are the results.")
        .takes_optional::<Request>("request")
        .takes_optional::<JsonValue>("names")
        .takes_optional::<Item>("item")
        .takes_optional::<ResponseFiles>("files")
        .gives::<ResponseFiles>("files")
        .gives::<StepReservations>("reservations")
        .parameter(
            Parameter::text("program", "", &[])
                .required()
                .about("A name that is looked up in /usr/local/bin, /usr/bin and /bin, or an absolute path."),
        )
        .parameter(Parameter::texts("arguments").about("Paths in them are relative to the folder."))
        .parameter(Parameter::json("environment", json!({}), folder_plan::check_environment).about(
            "Variables besides PATH and LANG. In values, {folder} is the absolute path of the folder.",
        ))
        .parameter(
            Parameter::json("given_files", json!({}), folder_plan::check_given_files)
                .about("Files in the folder, by their paths: texts, or values that are written as JSON."),
        )
        .parameter(
            Parameter::text("program_version", "", &[])
                .about("Increase it when the program changes, so that earlier results are not reused."),
        )
        .parameter(
            number("memory_mib", 1024.0, 16.0, 1_048_576.0, "MiB")
                .about("Limit of the memory of each process."),
        )
        .parameter(
            number("output_mib", 256.0, 1.0, 65_536.0, "MiB").about("Limit of the size of all results."),
        )
        .parameter(Parameter::texts("reads").about(
            "Absolute paths outside its folder that it may read; those among `arguments` are granted, too.",
        ))
        .parameter(Parameter::texts("writes").about("Absolute paths outside its folder that it may write."))
        .parameter(Parameter::text("root", "", &[]).about(
            "The folder of an unpacked container image: the program sees its files instead of the system's, and its \
             own folder as /tmp.",
        ))
        .parameter(Parameter::flag("network", false).about("Whether it may use the network."))
        .parameter(number("grace_s", 5.0, 0.0, 600.0, "s").about("Time between SIGTERM and SIGKILL."))
        .runs(|call| {
            let mut files = run(call)?;
            let reservations = reservations::taken_from(&mut files).map_err(invalid)?;
            Ok(StepOutputs::one("files", files).with("reservations", reservations))
        })
}

inventory::submit! { BuiltIn(step) }

fn run(call: &Call) -> Result<ResponseFiles, Fault> {
    let root = root(call)?;
    let folder = ProgramFolder::new().map_err(fault)?;
    lay_out(&folder, call)?;
    let output_bytes = bytes(call.number("output_mib"));
    let order = ProgramOrder {
        program: call.text("program"),
        arguments: call.texts("arguments"),
        environment: folder_plan::environment(
            call.json("environment"),
            root.as_ref().map_or(folder.path(), |_| Path::new(program_root::FOLDER)),
        ),
        folder: folder.path(),
        stdout: folder.stdout(),
        stderr: folder.stderr(),
        grants: grants(call, root),
        memory_bytes: bytes(call.number("memory_mib")),
        file_bytes: output_bytes,
        grace: Duration::from_secs_f64(call.number("grace_s")),
    };
    match child::run(&order, call.token).map_err(|error| not_started(&order, &error))? {
        ProgramEnd::Stopped => Err(Fault::cancelled()),
        ProgramEnd::Exited(status) if status.success() => folder.results(output_bytes).map_err(fault),
        ProgramEnd::Exited(status) => Err(failed(&order, status, folder.errors())),
    }
}

/// The root of the program, if it has one of its own.
fn root(call: &Call) -> Result<Option<PathBuf>, Fault> {
    let broken = |reason: String, remedy: &str| Fault::of(FaultKind::Broken, reason, remedy);
    let Some(root) = Some(call.text("root")).filter(|root| !root.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    if let Some(outside) = call.texts("reads").iter().chain(call.texts("writes")).next() {
        let reason = format!("the program has a root of its own, and {outside:?} is outside of it");
        return Err(broken(reason, "Put what it needs below `root`, and remove `reads` and `writes`."));
    }
    program_root::check_root(&root).map(|()| Some(root)).map_err(|error| {
        let remedy = match error {
            ProgramRootError::Place(_) => "Give the absolute path of the unpacked image.",
            ProgramRootError::Folder { .. } => {
                "Unpack the image there, with folders proc, dev and tmp in it."
            }
            ProgramRootError::NoLandlock => "Run flow on Linux 5.13 or later, with Landlock switched on.",
            ProgramRootError::NoNamespaces => {
                "Allow them (`sysctl user.max_user_namespaces`), or run flow as root."
            }
        };
        broken(error.to_string(), remedy)
    })
}

fn grants(call: &Call, root: Option<PathBuf>) -> ProgramGrants {
    let absolute = |name: &str| {
        let paths = call.texts(name).iter().map(PathBuf::from);
        paths.filter(|path| path.is_absolute()).collect::<Vec<PathBuf>>()
    };
    ProgramGrants {
        // Under a root of its own, they are paths below that.
        reads: if root.is_some() { Vec::new() } else { [absolute("reads"), absolute("arguments")].concat() },
        lists: Vec::new(),
        writes: absolute("writes"),
        network: if call.flag("network") { NetworkAccess::All } else { NetworkAccess::None },
        root,
    }
}

fn lay_out(folder: &ProgramFolder, call: &Call) -> Result<(), Fault> {
    if let Some(request) = call.optional::<Request>("request") {
        let names = call.optional::<JsonValue>("names");
        let names = names.map(|names| folder_plan::item_names(&names.0, request.items.len())).transpose();
        folder.lay_items(&request.items, names.map_err(unnamed)?.as_deref()).map_err(fault)?;
    }
    if let Some(item) = call.optional::<Item>("item") {
        folder.lay_item(item).map_err(fault)?;
    }
    if let Some(files) = call.optional::<ResponseFiles>("files") {
        folder.lay_files(files).map_err(fault)?;
    }
    let mut given = folder_plan::given_files(call.json("given_files"));
    given.try_for_each(|(path, bytes)| folder.lay_given(path, &bytes)).map_err(fault)
}

fn unnamed(reason: String) -> Fault {
    Fault::new(
        format!("the input \"names\" cannot be taken: {reason}"),
        "Let it be a list with a name for each item of the request, as the step name-instances gives.",
    )
}

/// The conversion is exact in the ranges of the parameters.
fn bytes(mib: f64) -> u64 {
    (mib * 1_048_576.0) as u64
}

fn not_started(order: &ProgramOrder, error: &io::Error) -> Fault {
    let reason = format!("the program {:?} could not be started: {error}", order.program);
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Fault::of(
            FaultKind::Broken,
            reason,
            match order.grants.root {
                Some(_) => "Give its path below `root`, as the image has it.",
                None => "Install it where flow runs, or give its absolute path in the dataflow file.",
            },
        ),
        _ if order.grants.root.is_some() => Fault::of(
            FaultKind::Broken,
            reason,
            "The files of its `root` could not be mounted: put the image into a plain folder.",
        ),
        _ => Fault::transient(
            reason,
            "Run the request again with `flow retry` when the machine has less to do.",
        ),
    }
}

fn failed(order: &ProgramOrder, status: ExitStatus, errors: Vec<u8>) -> Fault {
    let words = last_words(&errors);
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    };
    let said = if words.is_empty() {
        "no output on standard error".to_owned()
    } else {
        format!("standard error: {words}")
    };
    let reason = format!("the program {:?} ended with {how}; {said}", order.program);
    let kind = if status.code() == Some(TEMPORARY) { FaultKind::Transient } else { FaultKind::Data };
    let remedy = "Follow the message of the program; `flow explain` shows all of it. Files outside its folder \
                  are seen only where the dataflow grants them with `reads` or `writes`.";
    Fault::of(kind, reason, remedy).with_log(errors)
}

fn invalid(error: ProgramReservationError) -> Fault {
    Fault::new(
        format!("the program's out/{RESERVATIONS_FILE} cannot be taken: {error}"),
        "Let the program write a list of objects with \"code\" and \"text\", or no such file.",
    )
}

fn fault(error: ProgramFolderError) -> Fault {
    let (kind, remedy) = match error {
        ProgramFolderError::Access { .. } => (
            FaultKind::Storage,
            "Make room on the disk of --state, and run the request again with `flow retry`.",
        ),
        ProgramFolderError::TooLarge(_) | ProgramFolderError::TooMany => {
            (FaultKind::Data, "Make the program write less, or raise `output_mib` in the dataflow file.")
        }
        ProgramFolderError::Strange(_) | ProgramFolderError::Name(_) | ProgramFolderError::Replaced(_) => {
            (FaultKind::Data, "Make the program write only plain files with UTF-8 names to out/.")
        }
    };
    Fault::of(kind, error.to_string(), remedy)
}
