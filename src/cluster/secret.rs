//! The secret that all processes of a cluster share.

use std::io;
use std::path::Path;

/// The secret of a cluster. The key that proves it is made of it, so that it has to be long and random: whoever can
/// guess it is a process of the cluster.
#[derive(Clone)]
pub struct ClusterSecret([u8; 32]);

impl ClusterSecret {
    pub fn new(text: &[u8]) -> ClusterSecret {
        ClusterSecret(blake3::derive_key("flow cluster key, second version", text))
    }

    /// Reads the secret from a file, without leading and trailing white space.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> io::Result<ClusterSecret> {
        Ok(ClusterSecret::new(std::fs::read(path)?.trim_ascii()))
    }

    /// The private key of all processes.
    pub fn key(&self) -> &[u8; 32] {
        &self.0
    }
}
