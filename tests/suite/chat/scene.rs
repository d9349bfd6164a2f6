//! A folder with a chat: its key, its site's file, and the lives of its server on one port.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use crate::crash::life::{Ended, Life};
use crate::run::Place;
use crate::support::chat_tokens::{claims, signed};
use crate::support::peers::{run, until};
use crate::support::ports::free_port;

use super::device::Device;

/// The key that tokens are signed with; a site's own.
pub const KEY: &[u8] = b"the key of a trial clinic, of more than 32 bytes";

/// A chat. Its server is killed when it is dropped.
pub struct ChatScene {
    pub place: Place,
    port: u16,
    life: Option<Life>,
}

impl ChatScene {
    /// A chat with the built-in types, running. `more` are further settings of the section `chat`, one a line.
    pub fn new(more: &str) -> ChatScene {
        let mut scene = ChatScene::stopped(more);
        scene.start();
        scene
    }

    /// A chat as it is without a site's file: the built-in types, a key that it makes itself, and the page.
    pub fn for_trial() -> ChatScene {
        let mut scene = ChatScene { place: Place::new(), port: free_port(), life: None };
        scene.start();
        scene
    }

    /// The same, not running yet.
    pub fn stopped(more: &str) -> ChatScene {
        let (place, port) = (Place::new(), free_port());
        fs::write(place.path("chat.key"), KEY).unwrap();
        let scene = ChatScene { place, port, life: None };
        scene.set(more);
        scene
    }

    /// Writes the site's file anew.
    pub fn set(&self, more: &str) {
        let more: String = more.lines().map(|line| format!("  {line}\n")).collect();
        let text = format!("chat:\n  listen: 127.0.0.1:{}\n  key: chat.key\n{more}", self.port);
        fs::write(self.place.path("site.yaml"), text).unwrap();
    }

    /// Adds a line to the site's file, for other sections.
    pub fn add(&self, line: &str) {
        let path = self.place.path("site.yaml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{line}\n")).unwrap();
    }

    /// Writes a message type into the folder of the site's own; the setting is `types: types`.
    pub fn write_type(&self, name: &str, text: &str) {
        fs::create_dir_all(self.place.path("types")).unwrap();
        fs::write(self.place.path("types").join(format!("{name}.yaml")), text).unwrap();
    }

    /// Starts the server, and waits until it listens.
    pub fn start(&mut self) {
        self.spawn();
        until("the chat listens or ends", || {
            let is_there = !self.life().lives_on() || TcpStream::connect(self.address()).is_ok();
            is_there.then_some(())
        });
        if !self.life().lives_on() {
            let ended = self.life.take().expect("it was started").wait();
            panic!("the server has ended:\n{}", ended.said);
        }
    }

    /// Starts the server.
    pub fn spawn(&mut self) {
        assert!(self.life.is_none(), "one at a time");
        self.life = Some(Life::start(&mut self.command()));
    }

    fn command(&self) -> Command {
        if self.place.path("site.yaml").exists() {
            return self.place.flow(&["run", "chat", "--site", "site.yaml"]);
        }
        self.place.flow(&["run", "chat", "--chat-listen", &self.port.to_string()])
    }

    /// Kills the server (SIGKILL).
    pub fn kill(&mut self) -> Ended {
        self.life.take().expect("it runs").killed_at(Instant::now())
    }

    /// Kills the server, and starts it again.
    pub fn restart(&mut self) {
        assert!(self.kill().was_killed(), "it had ended by itself");
        self.start();
    }

    /// Asks the server to end (SIGTERM), and waits for it.
    pub fn stop(&mut self) -> Ended {
        self.life.take().expect("it runs").stopped()
    }

    pub fn life(&mut self) -> &mut Life {
        self.life.as_mut().expect("it runs")
    }

    /// Has it read its files again (SIGHUP).
    pub fn hang_up(&self) {
        let process = self.life.as_ref().expect("it runs").process().to_string();
        assert!(run(Command::new("kill").args(["-HUP", &process])).status.success());
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A device of a user with a role, in some conversations.
    pub fn device(&self, user: &str, role: &str, conversations: &[&str]) -> Device {
        Device::connected(self.address(), &token(user, role, conversations))
    }

    /// The patient Anna, in the conversation `a`.
    pub fn anna(&self) -> Device {
        self.device("anna", "patient", &["a"])
    }

    /// The provider Berta, in the conversations `a` and `b`.
    pub fn berta(&self) -> Device {
        self.device("berta", "provider", &["a", "b"])
    }

    /// The memory that the server has now, and the most that it has had, in bytes.
    pub fn memory(&self) -> (u64, u64) {
        let process = self.life.as_ref().expect("it runs").process();
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

/// A token that holds for an hour.
pub fn token(user: &str, role: &str, conversations: &[&str]) -> String {
    signed(KEY, &claims(user, role, conversations))
}
