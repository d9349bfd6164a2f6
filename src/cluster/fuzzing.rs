//! Entry point for the target in `fuzz`: frames of a process of the cluster, decrypted.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::StepValue;
use crate::step::Digest;

use super::ClusterAgreement;
use super::chunks::{ChunkExchange, ChunkReply};
use super::frames::{OrderFrame, ReportFrame};
use super::handshake::{HelloMessage, WelcomeMessage};
use super::link::{EncodedFrame, decode};
use super::member_engine::runs_of;

/// The most chunks that a peer sends for a value here.
const CHUNKS: usize = 3;

/// Frames one after the other, each read as any of those that there are. Good is what one of them is to its end.
pub fn frames(mut bytes: &[u8]) -> bool {
    let ours = ClusterAgreement { dataflow: Digest::of(b"dataflow"), lanes: 1, processes: 2 };
    let ours = HelloMessage::new(0, 1, 1, &ours);
    while !bytes.is_empty() {
        let lengths = [
            taken(bytes, |hello: &HelloMessage, _| drop(hello.difference(&ours))),
            taken(bytes, |_: &WelcomeMessage, _| {}),
            taken(bytes, order),
            taken(bytes, report),
        ];
        match lengths.into_iter().flatten().next() {
            Some(length) => bytes = &bytes[length..],
            None => return false,
        }
    }
    true
}

/// Reads a frame and uses it; gives its length. What was read can be written and read again.
fn taken<T: Serialize + DeserializeOwned>(bytes: &[u8], used: impl Fn(&T, &[u8])) -> Option<usize> {
    let (frame, content, length) = decode::<T>(bytes).ok()??;
    used(&frame, &content);
    let written = EncodedFrame::of(&frame, &content).expect("it is no longer than it was");
    let again = decode::<T>(&written.0).expect("what is written can be read").expect("it is whole");
    assert_eq!((again.1, again.2), (content, written.len()));
    Some(length)
}

fn order(order: &OrderFrame, mut content: &[u8]) {
    match order {
        OrderFrame::Run(order) => drop(runs_of(order.runs.clone(), &mut content)),
        OrderFrame::Step(order) if content.split_off(..order.input_bytes).is_some() => {
            drop(runs_of(order.runs.clone(), &mut content));
        }
        OrderFrame::Chunk(reply) => chunk(reply, content),
        _ => {}
    }
}

fn report(report: &ReportFrame, content: &[u8]) {
    if let ReportFrame::Chunk(reply) = report {
        chunk(reply, content);
    }
}

/// A value of which every chunk is this one.
fn chunk(reply: &ChunkReply, content: &[u8]) {
    let (exchange, asked) = (ChunkExchange::default(), Cell::new(0));
    let fetched = exchange.fetch(1, StepValue::Item(0), |request| {
        exchange.take(ChunkReply { number: request.number, ..reply.clone() }, content.to_vec());
        asked.replace(asked.get() + 1) < CHUNKS
    });
    assert!(fetched.is_none_or(|bytes| Some(bytes.len() as u64) == reply.total));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_cluster_do_no_harm() {
        crate::fuzzed::check("frames", frames);
    }
}
