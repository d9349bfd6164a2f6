//! The hosts file: a text file with one `host:port` per line, in the order of the process numbers.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::{fs, io};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostList(Vec<String>);

#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    #[error("could not read the hosts file {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} has {found} addresses, and -n asks for {wanted}")]
    TooFew { path: PathBuf, found: usize, wanted: usize },
    #[error("{path}:{line}: {text:?} is not an address: write host:port, for example 127.0.0.1:2101")]
    NotAnAddress { path: PathBuf, line: usize, text: String },
}

impl HostList {
    /// Reads the first `processes` addresses, without empty lines and lines that begin with `#`.
    ///
    /// # Errors
    /// The file cannot be read, has too few lines, or a line that is no address.
    pub fn read(path: &Path, processes: usize) -> Result<HostList, HostsError> {
        let read = |source| HostsError::Read { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(read)?;
        let lines = text.lines().map(str::trim).enumerate();
        let lines: Vec<_> = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
        if lines.len() < processes {
            return Err(HostsError::TooFew { path: path.to_owned(), found: lines.len(), wanted: processes });
        }
        let wrong = lines.iter().find(|(_, line)| !is_address(line));
        if let Some((index, text)) = wrong {
            let text = (*text).to_owned();
            return Err(HostsError::NotAnAddress { path: path.to_owned(), line: index + 1, text });
        }
        Ok(HostList(lines.iter().take(processes).map(|(_, line)| (*line).to_owned()).collect()))
    }

    /// The address of process 0 alone, `host:port`; `None` if it is none.
    pub fn first(address: &str) -> Option<HostList> {
        is_address(address).then(|| HostList(vec![address.to_owned()]))
    }

    pub fn addresses(&self) -> &[String] {
        &self.0
    }

    /// Whether process 0 listens at a loopback address, which other machines cannot reach.
    pub fn is_first_loopback(&self) -> bool {
        is_loopback(&self.0[0])
    }

    /// Whether all addresses are loopback addresses, which other machines cannot reach.
    pub fn are_loopback(&self) -> bool {
        self.0.iter().all(|address| is_loopback(address))
    }
}

fn is_loopback(address: &str) -> bool {
    let found = address.to_socket_addrs();
    found.is_ok_and(|mut found| found.all(|one| IpAddr::is_loopback(&one.ip())))
}

/// The host of an address, without its port.
pub fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str, processes: usize) -> Result<HostList, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        fs::write(&path, text).unwrap();
        HostList::read(&path, processes).map_err(|error| error.to_string())
    }

    #[test]
    fn comments_do_not_count_and_lines_are_named() {
        let two = hosts("# ours\n127.0.0.1:2101\n\nlocalhost:2102\n", 2).unwrap();
        assert_eq!(two.addresses(), ["127.0.0.1:2101", "localhost:2102"]);
        assert!(two.are_loopback());
        assert!(hosts("a:1\n", 2).unwrap_err().contains("has 1 addresses"));
        assert!(hosts("127.0.0.1:2101\nnonsense\n", 2).unwrap_err().contains(":2: \"nonsense\""));
    }

    #[test]
    fn an_address_of_a_network_is_not_loopback() {
        assert!(!hosts("127.0.0.1:2101\n0.0.0.0:2102\n", 2).unwrap().are_loopback());
    }
}
