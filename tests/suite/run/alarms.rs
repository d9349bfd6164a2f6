//! Alarms of a running flow, told to a webhook, a mail server and a command.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use super::Place;
use super::nodes::Listening;
use crate::support::peers::{listener, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server for one connection after the other. What it is told comes out of the channel.
fn serve(talk: impl Fn(TcpStream, &Sender<String>) + Send + 'static) -> (u16, Receiver<String>) {
    let listener: TcpListener = listener();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| talk(stream, &tell)));
    (port, told)
}

fn webhook(stream: TcpStream, tell: &Sender<String>) {
    let mut from = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            from.read_exact(&mut body).unwrap();
            tell.send(String::from_utf8(body).unwrap()).unwrap();
            from.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            return;
        }
    }
}

fn mail_server(mut stream: TcpStream, tell: &Sender<String>) {
    let mut from = BufReader::new(stream.try_clone().unwrap());
    let mut say = |text: &str| stream.write_all(format!("{text}\r\n").as_bytes());
    say("220 mail.example.org").unwrap();
    let (mut line, mut envelope) = (String::new(), String::new());
    while from.read_line(&mut line).unwrap_or(0) > 0 {
        let command = line.trim_end().to_owned();
        line.clear();
        let answer = match command.get(..4).unwrap_or_default() {
            "EHLO" => "250 mail.example.org",
            "MAIL" | "RCPT" => {
                envelope += &format!("{command}\n");
                "250 ok"
            }
            "DATA" => {
                say("354 go on").unwrap();
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") {
                    from.read_line(&mut mail).unwrap();
                }
                tell.send(format!("{envelope}{mail}")).unwrap();
                "250 taken"
            }
            _ => "221 bye",
        };
        if say(answer).is_err() {
            return;
        }
    }
}

fn site(place: &Place, ports: [u16; 2], free: &str) {
    let [webhook, mail] = ports;
    let text = format!(
        "alarms:\n  free: {free}\n  webhook: http://127.0.0.1:{webhook}/flow\n  mail: {{server: \
         \"smtp://127.0.0.1:{mail}\", from: flow@example.org, to: [night@example.org]}}\n  \
         command: [sh, -c, 'cat >> {}']\n",
        place.path("alarms.txt").display()
    );
    fs::write(place.path("site.yaml"), text).unwrap();
}

#[test]
fn an_alarm_is_told_once_to_everybody_also_after_a_restart_and_once_when_it_is_over() {
    let place = Place::new();
    let ((web, posts), (smtp, mails)) = (serve(webhook), serve(mail_server));
    let commanded = |count: usize| {
        until("the command is run", || {
            let text = fs::read_to_string(place.path("alarms.txt")).unwrap_or_default();
            (text.lines().count() >= count).then_some(text)
        })
    };
    site(&place, [web, smtp], "1000000 TiB");
    let start = || Listening::start(&place, &["--site", "site.yaml"]);
    let mut flow = start();
    let post: Value = serde_json::from_str(&posts.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!((&post["cause"], &post["stage"]), (&Value::from("disk"), &Value::from("begun")), "{post}");
    let mail = mails.recv_timeout(PATIENCE).unwrap();
    assert!(mail.contains("RCPT TO:<night@example.org>") && mail.contains("Subject: flow: "), "{mail}");
    assert!(commanded(1).contains("\"cause\":\"disk\""));
    assert_eq!(flow.end(), 0);
    // It goes on, and is known.
    assert_eq!(start().end(), 0);
    site(&place, [web, smtp], "1 B");
    let mut flow = start();
    let post: Value = serde_json::from_str(&posts.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!(post["stage"], "over", "the next that is told is the end: {post}");
    let mail = mails.recv_timeout(PATIENCE).unwrap();
    assert!(mail.contains("Subject: flow: over: "), "{mail}");
    assert_eq!(commanded(2).lines().count(), 2);
    assert_eq!(flow.end(), 0);
}
