//! Ports for programs that cannot choose one themselves, and for addresses at which nothing listens.
//!
//! A port lies below those that the kernel gives away by itself, and a UDP socket of the same number
//! keeps it for as long as this process lives: no other test, of this process or another, gets it.

use std::net::{TcpListener, UdpSocket};
use std::sync::Mutex;

/// Below the range of Linux (32768 to 60999) and of most others.
const FIRST: u16 = 20_000;
const COUNT: u32 = 12_000;

/// The sockets that keep the ports of this process.
static KEPT: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A TCP port of 127.0.0.1 that nothing listens at, given once.
pub fn free_port() -> u16 {
    // Processes begin at places of their own, so that they rarely try the same ports.
    let begin = std::process::id().wrapping_mul(31) % COUNT;
    let mut kept = KEPT.lock().expect("no test panics while it holds this");
    for offset in 0..COUNT {
        let port = FIRST + ((begin + offset) % COUNT) as u16;
        let Ok(keeper) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            kept.push(keeper);
            return port;
        }
    }
    panic!("no port from {FIRST} on is free");
}
