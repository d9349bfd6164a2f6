//! Alarms of a running flow, told to a webhook, a mail server and a command.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use flow::tls::TlsServer;
use serde_json::Value;

use super::Place;
use super::nodes::Listening;
use crate::support::certificates::Certificates;
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

fn mail_server(stream: TcpStream, tell: &Sender<String>) {
    talk_mail(BufReader::new(stream), tell);
}

fn say(from: &mut BufReader<impl Read + Write>, text: &str) -> std::io::Result<()> {
    write!(from.get_mut(), "{text}\r\n")
}

fn talk_mail(mut from: BufReader<impl Read + Write>, tell: &Sender<String>) {
    say(&mut from, "220 mail.example.org").unwrap();
    let (mut line, mut envelope) = (String::new(), String::new());
    while from.read_line(&mut line).unwrap_or(0) > 0 {
        let command = line.trim_end().to_owned();
        line.clear();
        let answer = match command.get(..4).unwrap_or_default() {
            "EHLO" => "250-mail.example.org\r\n250 AUTH PLAIN",
            "AUTH" => "235 known",
            "MAIL" | "RCPT" => {
                envelope += &format!("{command}\n");
                "250 ok"
            }
            "DATA" => {
                say(&mut from, "354 go on").unwrap();
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") {
                    from.read_line(&mut mail).unwrap();
                }
                tell.send(format!("{envelope}{mail}")).unwrap();
                "250 taken"
            }
            _ => "221 bye",
        };
        if say(&mut from, answer).is_err() {
            return;
        }
    }
}

fn site(place: &Place, ports: [u16; 2], free: &str) {
    let [webhook, mail] = ports;
    let text = format!(
        "alarms:\n  free: {free}\n  over_after: 1 ms\n  webhook: http://127.0.0.1:{webhook}/flow\n  mail: {{server: \
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

#[test]
fn a_mail_server_that_says_nothing_holds_up_neither_the_webhook_nor_the_end() {
    let place = Place::new();
    let (silent, connected) = serve(|stream, tell| {
        tell.send(String::new()).unwrap();
        // Held open without a word until the other end goes.
        let _ = (&stream).read(&mut [0; 64]);
    });
    let (web, posts) = serve(webhook);
    site(&place, [web, silent], "1000000 TiB");
    let mut flow = Listening::start(&place, &["--site", "site.yaml"]);
    connected.recv_timeout(PATIENCE).unwrap();
    assert!(posts.recv_timeout(PATIENCE).unwrap().contains("disk"));
    until("the command is run", || {
        fs::read_to_string(place.path("alarms.txt")).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(flow.end(), 0);
    let kept = fs::read_to_string(place.path("flow-state/alarms.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(
        kept["waiting"]["mail"].as_array().unwrap().len(),
        1,
        "it is told after the next start: {kept}"
    );
    assert_eq!(kept["waiting"]["webhook"].as_array().unwrap().len(), 0, "{kept}");
}

#[test]
fn a_mail_server_with_a_certificate_of_the_site_is_trusted() {
    let Some(certificates) = Certificates::make() else { return };
    let place = Place::new();
    let tls = TlsServer::open(&certificates.identity(), None).unwrap();
    let (port, mails) = serve(move |stream, tell| {
        if let Ok(stream) = tls.accept(stream) {
            talk_mail(BufReader::new(stream), tell);
        }
    });
    let text = format!(
        "tls: {{authorities: {}}}\nalarms:\n  free: 1000000 TiB\n  mail: {{server: \"smtps://localhost:{port}\", \
         from: flow@example.org, to: [night@example.org], authorization: mail.txt}}\n",
        certificates.authority().display()
    );
    fs::write(place.path("site.yaml"), text).unwrap();
    fs::write(place.path("mail.txt"), "nobody\n").unwrap();
    let refused = place.run(&["run", "--listen", "0", "--site", "site.yaml"]);
    assert!(refused.code == 74 && refused.err.contains("mail.txt has no USER:PASSWORD"), "{}", refused.err);
    fs::write(place.path("mail.txt"), "user:word\n").unwrap();
    let mut flow = Listening::start(&place, &["--site", "site.yaml"]);
    let mail = mails.recv_timeout(PATIENCE).unwrap();
    assert!(mail.contains("Subject: flow: "), "{mail}");
    assert_eq!(flow.end(), 0);
}
