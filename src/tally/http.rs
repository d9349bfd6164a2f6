//! The least of HTTP/1.1 that the sample services need: POST with a length, answers with a length, connections kept.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// The largest body, in bytes.
const BODY_BYTES_MAX: usize = 16 << 20;

/// A request for a service.
pub struct ServiceRequest {
    pub path: String,
    pub key: String,
    pub body: Vec<u8>,
}

/// An answer of a service.
pub struct ServiceAnswer {
    pub status: u16,
    pub retry_after: Option<u64>,
    pub body: Vec<u8>,
}

/// Reads the next request; `None` at the end of the connection.
pub fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<ServiceRequest>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let (mut length, mut key) = (0, String::new());
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "idempotency-key" => value.trim().clone_into(&mut key),
            _ => {}
        }
    }
    if length > BODY_BYTES_MAX {
        return Err(io::Error::other("the body is too large"));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(ServiceRequest { path, key, body }))
}

/// Writes an answer.
pub fn write(to: &mut TcpStream, answer: &ServiceAnswer) -> io::Result<()> {
    let retry_after = answer.retry_after.map(|seconds| format!("Retry-After: {seconds}\r\n"));
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n",
        answer.status,
        if answer.status == 200 { "OK" } else { "Failed" },
        answer.body.len(),
        retry_after.unwrap_or_default(),
    );
    to.write_all(&[head.as_bytes(), &answer.body].concat())
}
