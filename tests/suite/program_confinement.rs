//! What a program of a step cannot do: outlive it, see other processes, and reach a network or a socket. Each is tried
//! as this user, as one without rights, and as one that can make no namespaces.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use flow::dataflow::ResponseVerdict;

use crate::run::Place;
use crate::support::peers::{tool, until};

const PYTHON: &str = "/usr/bin/python3";
const FLOW: &str = env!("CARGO_BIN_EXE_flow");

/// A user that owns nothing.
const NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// A user who may make no namespaces: the shell takes the right away, and then its own privileges.
const WITHOUT_NAMESPACES: [&str; 6] = [
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"",
];

/// A way to start flow.
pub struct FlowUser {
    pub name: &'static str,
    /// The command before that of flow.
    before: Vec<&'static str>,
    /// Whether flow can make namespaces, so that the kernel ends a program with all its descendants.
    pub has_namespaces: bool,
}

impl FlowUser {
    /// A way that works here.
    pub fn new(name: &'static str, before: Vec<&'static str>) -> Option<FlowUser> {
        let works = |command: &[&str]| {
            let command = [&before, command].concat();
            let mut command = start(&command);
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        if !works(&["test", "-x", FLOW]) {
            println!("skipped: {name} cannot start flow here");
            return None;
        }
        let namespaces = ["unshare", "--user", "--pid", "--mount", "--fork", "--mount-proc", "true"];
        let has_namespaces = works(&namespaces);
        Some(FlowUser { name, before, has_namespaces })
    }

    /// The user of the tests.
    pub fn this() -> FlowUser {
        FlowUser::new("this user", Vec::new()).expect("the tests can start flow")
    }

    pub fn all() -> Vec<FlowUser> {
        let nobody = if rustix::process::geteuid().is_root() { NOBODY.to_vec() } else { Vec::new() };
        let bare = [&nobody[..], &WITHOUT_NAMESPACES, &["sh"]].concat();
        let all = [("this user", Vec::new()), ("nobody", nobody), ("one without namespaces", bare)];
        all.into_iter().filter_map(|(name, before)| FlowUser::new(name, before)).collect()
    }

    /// `flow run` with a dataflow of one program in Python.
    fn flow(&self, place: &Place, script: &str, arguments: &str, settings: &str) -> Command {
        fs::write(place.path("script.py"), script).unwrap();
        fs::write(place.path("item"), "text").unwrap();
        let program = format!("program: {PYTHON}, arguments: [{:?}, {arguments}]", place.path("script.py"));
        let text = format!(
            "dataflow: tried\nlimits: {{memory: {{fixed: 1 B, per_decoded_byte: 1.0}}}}\nsteps:\n  \
             tried: {{step: run-program, needs: {{}}, with: {{{program}{settings}}}}}\nresponse: [tried]\n"
        );
        fs::write(place.path("tried.yaml"), text).unwrap();
        self.command(place, &["run", "tried.yaml", "--files", "item"])
    }

    /// The program in a folder that every user may use.
    pub fn command(&self, place: &Place, arguments: &[&str]) -> Command {
        fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = start(&[&self.before[..], &[FLOW], arguments].concat());
        command.current_dir(place.path("")).env("XDG_STATE_HOME", place.path("user-state"));
        command.env_remove("RUST_LOG").env("SECRET_KEY", "topsecret").stdin(Stdio::null());
        command
    }

    /// Runs it to its end. Gives what the program and flow have written.
    fn tries(&self, place: &Place, script: &str, arguments: &str, settings: &str) -> (String, String) {
        let output = self.flow(place, script, arguments, settings).output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{}: {log}", self.name);
        let (folder, response) = place.response("flow-output");
        assert_eq!(response.verdict, ResponseVerdict::Complete, "{}: {:?}", self.name, response.steps);
        (fs::read_to_string(folder.join("stdout.txt")).unwrap(), log)
    }
}

fn start(command: &[&str]) -> Command {
    let mut started = Command::new(command[0]);
    started.args(&command[1..]);
    started
}

/// A time to sleep that no other process has on its command line.
pub fn own_seconds() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = u64::from(std::process::id()) * 1000 + COUNT.fetch_add(1, Ordering::Relaxed);
    (1_000_000_000 + number).to_string()
}

/// The number of processes that have a word on their command line. Dead ones have none.
pub fn processes_with(word: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap();
    let lines = entries.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|part| part == word.as_bytes())).count()
}

/// A descendant leaves the group, lifts the mark of a step if it can, and becomes another program without files and
/// environment.
const LEAVES: &str = r"
import os, resource, sys
if os.fork() == 0:
    os.setsid()
    try:
        resource.setrlimit(15, (10 ** 6, 10 ** 6))
    except (OSError, ValueError):
        pass
    if os.fork() == 0:
        os.closerange(0, 64)
        os.execve('/bin/sleep', ['sleep', sys.argv[1]], {})
    os._exit(0)
os.wait()
print('done', flush=True)
";

#[test]
fn no_descendant_outlives_a_step() {
    if tool(PYTHON).is_none() {
        return;
    }
    for user in FlowUser::all() {
        let (place, seconds) = (Place::new(), own_seconds());
        let (said, log) = user.tries(&place, LEAVES, &seconds, "");
        assert_eq!(said, "done\n");
        assert_eq!(processes_with(&seconds), 0, "{}: {log}", user.name);
        assert_eq!(log.contains("can make no namespaces"), !user.has_namespaces, "{}: {log}", user.name);
    }
}

#[test]
fn no_descendant_outlives_a_killed_flow() {
    if tool(PYTHON).is_none() {
        return;
    }
    for user in FlowUser::all().into_iter().filter(|user| user.has_namespaces) {
        let (place, seconds) = (Place::new(), own_seconds());
        let script = format!("{LEAVES}\nimport time\ntime.sleep(1000)");
        let mut command = user.flow(&place, &script, &seconds, "");
        let mut flow = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The program, and the descendant that has left it.
        until("both run", || (processes_with(&seconds) == 2).then_some(()));
        flow.kill().unwrap();
        flow.wait().unwrap();
        until("both are gone", || (processes_with(&seconds) == 0).then_some(()));
    }
}

const LOOKS_AROUND: &str = r"
import os
own = {os.getpid(), 1}
others = [int(name) for name in os.listdir('/proc') if name.isdigit() and int(name) not in own]
for other in [1] + others:
    for name in ('environ', 'maps'):
        try:
            with open(f'/proc/{other}/{name}', 'rb') as file:
                print(name, other, file.read())
        except OSError:
            pass
print('others', len(others))
with open('/proc/self/status') as file:
    print(''.join(line for line in file if line.startswith(('CapEff', 'CapPrm', 'NoNewPrivs'))))
for name in ('/proc/cpuinfo', '/proc/meminfo', '/proc/self/maps', '/proc/stat'):
    with open(name) as file:
        assert file.read(1)
";

#[test]
fn a_program_sees_no_other_process_and_has_no_privileges() {
    if tool(PYTHON).is_none() {
        return;
    }
    for user in FlowUser::all() {
        let place = Place::new();
        let (said, log) = user.tries(&place, LOOKS_AROUND, "", "");
        let said: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
        let privileges = ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"];
        assert!(privileges.iter().all(|line| said.contains(line)), "{}: {said:?}", user.name);
        assert!(
            !said.iter().any(|line| line.contains("environ") && line.contains("SECRET")),
            "{}",
            user.name
        );
        if user.has_namespaces {
            assert!(said.contains(&"others 0"), "{}: {said:?}\n{log}", user.name);
        }
    }
}

/// Tries to reach what the test listens at, in each way that a program could.
const REACHES_OUT: &str = r"
import socket, sys, multiprocessing
folder, port = sys.argv[1], int(sys.argv[2])
def tries(name, act):
    try:
        act()
        print(name, 'reached')
    except OSError as error:
        print(name, 'refused')
def send(family, address):
    socket.socket(family, socket.SOCK_DGRAM).sendto(b'x', address)
def from_pair():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b'x', folder + '/datagrams')
tries('udp', lambda: send(socket.AF_INET, ('127.0.0.1', port)))
tries('unix', lambda: socket.socket(socket.AF_UNIX).connect(folder + '/stream'))
tries('datagram', lambda: send(socket.AF_UNIX, folder + '/datagrams'))
tries('pair', from_pair)
one, other = socket.socketpair()
one.sendall(b'x')
assert other.recv(1) == b'x'
with multiprocessing.Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
";

/// What `REACHES_OUT` says with these settings, and whether the test got something by UDP.
fn reached(user: &FlowUser, settings: &str) -> (Vec<String>, bool) {
    let place = Place::new();
    let folder = place.path("sockets");
    fs::create_dir(&folder).unwrap();
    let _stream = UnixListener::bind(folder.join("stream")).unwrap();
    let datagrams = UnixDatagram::bind(folder.join("datagrams")).unwrap();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    [folder.clone(), folder.join("stream"), folder.join("datagrams")].iter().for_each(|path| open(path));
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    let arguments = format!("{folder:?}, '{}'", listener.local_addr().unwrap().port());
    let settings = format!(", writes: [/dev/shm]{settings}");
    let (said, log) = user.tries(&place, REACHES_OUT, &arguments, &settings);
    println!("{}: {said}\n{log}", user.name);
    listener.set_nonblocking(true).unwrap();
    datagrams.set_nonblocking(true).unwrap();
    let mut byte = [0];
    let got = listener.recv(&mut byte).is_ok() | datagrams.recv(&mut byte).is_ok();
    (said.lines().map(str::to_owned).collect(), got)
}

#[test]
fn a_program_reaches_no_socket_unless_the_network_is_granted() {
    if tool(PYTHON).is_none() {
        return;
    }
    for user in FlowUser::all() {
        let (said, got) = reached(&user, "");
        assert_eq!(
            said,
            ["udp refused", "unix refused", "datagram refused", "pair refused"],
            "{}",
            user.name
        );
        assert!(!got, "{}", user.name);
        let (said, got) = reached(&user, ", network: true");
        assert_eq!(
            said,
            ["udp reached", "unix reached", "datagram reached", "pair reached"],
            "{}",
            user.name
        );
        assert!(got, "{}", user.name);
    }
}

/// Tries to change what belongs to flow's user, and writes where it may.
const CHANGES: &str = r"
import os, sys
state, granted = sys.argv[1], sys.argv[2]
def tries(name, act):
    try:
        act()
        print(name, 'changed')
    except OSError:
        print(name, 'refused')
tries('mode', lambda: os.chmod(state, 0o700))
tries('times', lambda: os.utime(state, (1, 1)))
tries('owner', lambda: os.chown(state, -1, os.getgid()))
tries('attribute', lambda: os.setxattr(state, 'user.flow', b'x'))
tries('file', lambda: open(state + '/new', 'w'))
tries('host', lambda: open('/proc/sys/kernel/hostname', 'w').write('other'))
for folder in ('.', 'out', granted):
    with open(folder + '/new', 'w') as file:
        file.write('text')
    os.chmod(folder + '/new', 0o640)
    os.utime(folder + '/new', (1, 1))
    os.rename(folder + '/new', folder + '/newer')
with open(granted + '/file', 'a') as file:
    file.write('more')
with open('/dev/null', 'w') as null:
    null.write('x')
";

#[test]
fn a_program_changes_nothing_outside_its_folder() {
    if tool(PYTHON).is_none() {
        return;
    }
    for user in FlowUser::all().into_iter().filter(|user| user.has_namespaces) {
        let place = Place::new();
        let granted = place.path("granted");
        fs::create_dir(&granted).unwrap();
        fs::write(granted.join("file"), "some ").unwrap();
        for (path, mode) in [(granted.clone(), 0o777), (granted.join("file"), 0o666)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        // The folder of the state, which is that of flow's user.
        let arguments = format!("{:?}, {granted:?}", place.path("flow-state"));
        let (said, log) = user.tries(&place, CHANGES, &arguments, &format!(", writes: [{granted:?}]"));
        let refused = ["mode", "times", "owner", "attribute", "file", "host"];
        let refused: String = refused.iter().map(|what| format!("{what} refused\n")).collect();
        assert_eq!(said, refused, "{}: {log}", user.name);
        assert_eq!(fs::read_to_string(granted.join("file")).unwrap(), "some more");
        assert_eq!(fs::read_to_string(granted.join("newer")).unwrap(), "text");
    }
}
