//! `call-http` against a service that is there, is not, or says too much.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use flow::json::TotalGroup;

use crate::run::Place;
use crate::support::peers::{listener, until};

/// A dataflow that asks the service at this address about batches of 4, and the files of a request.
fn place(service: SocketAddr, mib: &[u64]) -> Place {
    let place = Place::new();
    let text = format!(
        "dataflow: padded
steps:
  orders: {{step: read-json-lines, needs: {{request: request}}}}
  asked:
    step: call-http
    needs: {{item: orders}}
    with: {{url: \"http://{service}/\"}}
    batch: {{size: 4}}
    retry: {{count: 1, first_delay: 1 ms}}
  numbers: {{step: pick-number, needs: {{item: asked}}, with: {{field: /answer, group: /kind}}}}
  total: {{step: total-json, needs: {{numbers: numbers}}}}
  report: {{step: write-total, needs: {{total: total}}}}
response: [report]
on_item_failure: partial above 50 %
"
    );
    fs::write(place.path("padded.yaml"), text).unwrap();
    let lines: Vec<String> = mib.iter().map(|mib| format!("{{\"kind\": \"a\", \"mib\": {mib}}}\n")).collect();
    fs::write(place.path("orders.jsonl"), lines.concat()).unwrap();
    place
}

const RUN: [&str; 4] = ["run", "./padded.yaml", "--files", "orders.jsonl"];

#[test]
fn a_batch_whose_answer_is_too_large_is_asked_in_halves() {
    let listener = listener();
    let place = place(listener.local_addr().unwrap(), &[30, 30, 70, 20]);
    serve(listener);
    let ended = place.run(&RUN);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let (folder, response) = place.response("flow-output");
    assert_eq!(TotalGroup::read(&folder.join("total.json")).unwrap(), TotalGroup { count: 3, sum: 80 });
    let asked = response.streams.iter().find(|one| one.step == "asked").unwrap();
    assert_eq!((asked.done, asked.failed), (3, 1));
    assert_eq!(asked.faults[0].item, "3");
    assert!(asked.faults[0].fault.reason.ends_with("is larger than 64 MiB"), "{:?}", asked.faults);

    // A retry delivers again; the answers that are in the response stay, also those with a fault among them.
    assert_eq!(place.run(&["retry", "1"]).code, 0);
    assert_eq!(place.run(&RUN).code, 0);
    let replayed = place.run(&["replay", "1"]);
    assert_eq!(replayed.code, 0, "{}{}", replayed.out, replayed.err);
}

#[test]
fn a_service_that_was_down_is_asked_at_a_retry_and_not_when_the_same_is_sent() {
    let address = listener().local_addr().unwrap();
    let place = place(address, &[1, 2]);
    let failed = place.run(&RUN);
    assert!(
        failed.code == 1 && failed.err.contains("run the request again with `flow retry`"),
        "{}",
        failed.err
    );
    serve(until("the port is free", || TcpListener::bind(address).ok()));
    assert_eq!(place.run(&RUN).code, 1, "the same request has the same response");
    assert_eq!(place.run(&["retry", "1"]).code, 0);
    let ended = place.run(&RUN);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let total = TotalGroup::read(&place.response("flow-output").0.join("total.json")).unwrap();
    assert_eq!(total, TotalGroup { count: 2, sum: 3 });
}

/// A service that answers each item with its number of MiB, and its array with so much space.
fn serve(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The caller goes away where the answer is too large.
            let _ = answer_padded(stream);
        }
    });
}

fn answer_padded(mut stream: TcpStream) -> io::Result<()> {
    let mut from = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    while from.read_line(&mut line)? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(written) = lower.strip_prefix("content-length:") {
            length = written.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let items: Vec<serde_json::Value> = serde_json::from_slice(&body)?;
    let mib: Vec<u64> = items.iter().filter_map(|item| item["mib"].as_u64()).collect();
    let mut answer = serde_json::to_vec(&mib)?;
    answer.resize(answer.len() + (mib.iter().sum::<u64>() << 20) as usize, b' ');
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len())?;
    stream.write_all(&answer)
}
