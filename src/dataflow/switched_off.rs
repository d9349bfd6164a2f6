//! Responses that have nothing, because steps are switched off.

use crate::step::InputTake;

use super::response::ResponseReservation;
use super::{Dataflow, DataflowNode};

impl Dataflow {
    /// What a response says that cannot have a file, whatever the request: each of its steps is switched off, or needs
    /// one that is.
    pub(super) fn response_off(&self) -> Option<ResponseReservation> {
        let step = self.response_off_at()?.to_owned();
        let text = format!("the response has no files, because the step \"{step}\" is switched off");
        Some(ResponseReservation { step, item: None, code: "response_off".to_owned(), text })
    }

    /// The step that is switched off, if therefore no response can have a file.
    pub fn response_off_at(&self) -> Option<&str> {
        let written = self.as_written();
        let off = switched_off(&written.nodes);
        let mut causes = written.response.iter().map(|port| off[port.node]);
        let first = causes.next()??;
        causes.all(|cause| cause.is_some()).then_some(first)
    }
}

/// For each node that never runs the step that is switched off: itself, or one that it needs.
fn switched_off(nodes: &[DataflowNode]) -> Vec<Option<&str>> {
    let mut off: Vec<Option<&str>> =
        nodes.iter().map(|node| (!node.enabled).then_some(&*node.name)).collect();
    // Each round finds the nodes behind those of the one before; nodes stand in no order.
    while let Some((index, cause)) = next_off(nodes, &off) {
        off[index] = Some(cause);
    }
    off
}

fn next_off<'a>(nodes: &'a [DataflowNode], off: &[Option<&'a str>]) -> Option<(usize, &'a str)> {
    let mut running = nodes.iter().enumerate().filter(|(index, _)| off[*index].is_none());
    running.find_map(|(index, node)| {
        let needed = node.step.declaration.inputs.iter().zip(&node.wires);
        let mut needed = needed.filter(|(input, _)| input.take != InputTake::Optional);
        // Where streams meet, one of them is enough.
        let cause = needed.find_map(|(_, wire)| {
            let mut causes = wire.ports().iter().map(|port| off[port.node]);
            let first = causes.next()??;
            causes.all(|cause| cause.is_some()).then_some(first)
        });
        Some((index, cause?))
    })
}
