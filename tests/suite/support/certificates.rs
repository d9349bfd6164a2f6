//! Certificates for tests of TLS, made by OpenSSL: an authority, and what it has signed for this host.

use std::path::PathBuf;
use std::process::Command;

use flow::tls::TlsIdentity;
use tempfile::TempDir;

use super::peers::{run, tool};

/// Removed when dropped.
pub struct Certificates(TempDir);

impl Certificates {
    /// Prints that the test skips where OpenSSL is not installed.
    pub fn make() -> Option<Certificates> {
        tool("/usr/bin/openssl")?;
        let certificates = Certificates(tempfile::tempdir().expect("a temporary folder"));
        std::fs::write(
            certificates.path("names"),
            "subjectAltName=DNS:localhost,DNS:flow.example,IP:127.0.0.1\n",
        )
        .expect("a file can be written");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        certificates.openssl(&format!(
            "req -x509 {key} -keyout authority.key -out authority.pem -subj /CN=Authority"
        ));
        certificates.openssl(&format!("req {key} -keyout host.key -out host.csr -subj /CN=localhost"));
        certificates.openssl(
            "x509 -req -in host.csr -CA authority.pem -CAkey authority.key -CAcreateserial -extfile names -out host.pem",
        );
        Some(certificates)
    }

    pub fn authority(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// For `localhost`, `flow.example` and `127.0.0.1`.
    pub fn identity(&self) -> TlsIdentity {
        TlsIdentity { certificate: self.path("host.pem"), key: self.path("host.key") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("/usr/bin/openssl");
        let output = run(command.args(arguments.split(' ')).current_dir(self.0.path()));
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
