//! Several processes as one: the sockets that timely's networking runs on.

use std::any::Any;
use std::net::TcpStream;
use std::sync::Arc;

use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::bytes_slab::BytesRefill;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

/// The place of this process among several, with a socket to each of the others.
pub struct ProcessMesh {
    index: usize,
    sockets: Vec<Option<TcpStream>>,
}

impl ProcessMesh {
    /// `sockets` has one for each process, and none at `index`, which is this one.
    pub fn new(index: usize, sockets: Vec<Option<TcpStream>>) -> ProcessMesh {
        ProcessMesh { index, sockets }
    }

    /// Whether requests come in at this process.
    pub fn is_first(&self) -> bool {
        self.index == 0
    }

    pub(super) fn build(
        self,
        workers: usize,
    ) -> Result<(Vec<AllocatorBuilder>, Box<dyn Any + Send>), String> {
        // Messages are small, so that few and small spare buffers do.
        let refill = BytesRefill { logic: Arc::new(|size| Box::new(vec![0_u8; size])), limit: Some(4) };
        let hooks = Hooks { refill: refill.clone(), ..Hooks::default() };
        let local = ProcessBuilder::new_typed_vector(workers, refill, None);
        let (builders, guard) =
            initialize_networking_from_sockets(local, self.sockets, self.index, workers, hooks)
                .map_err(|error| error.to_string())?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
    }
}
