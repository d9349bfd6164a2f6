//! Sample books: always the same pages for a barcode, as a tar compressed with gzip or zstd or not at all.

use std::io;

use flate2::{Compression, GzBuilder};
use tar::{Builder, Header};

use crate::step::Digest;

/// The passphrase of the sample books. It protects nothing.
pub(super) const PASSPHRASE: &[u8] = b"sample books";

/// Books that the sample server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleBooks {
    pub count: u64,
    /// Bytes of the pages of a book.
    pub bytes: usize,
}

impl SampleBooks {
    /// The books of `flow run books`.
    pub const USUAL: SampleBooks = SampleBooks { count: 200, bytes: 100_000 };

    pub fn barcodes(self) -> impl Iterator<Item = String> {
        (1..=self.count).map(|number| format!("ark.88435.s{number:06}"))
    }

    pub fn has(self, barcode: &str) -> bool {
        let number = barcode.strip_prefix("ark.88435.s").and_then(|number| number.parse::<u64>().ok());
        number.is_some_and(|number| (1..=self.count).contains(&number))
    }

    /// The pages of a book, by name.
    pub fn pages(self, barcode: &str) -> Vec<(String, Vec<u8>)> {
        const PAGES: usize = 8;
        let page = |number: usize| {
            let mut bytes = format!("{barcode}, page {number}\n").into_bytes();
            let mut seed = Digest::of(&bytes);
            while bytes.len() < self.bytes / PAGES {
                // Half of it can be compressed, as text and images together.
                bytes.extend_from_slice(seed.as_bytes());
                bytes.extend_from_slice(b"                                ");
                seed = Digest::of(seed.as_bytes());
            }
            (format!("pages/{number:08}.txt"), bytes)
        };
        (1..=PAGES).map(page).collect()
    }

    /// The archive of a book.
    ///
    /// # Errors
    /// If memory could not be written, which does not happen.
    pub fn archive(self, barcode: &str) -> io::Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (name, bytes) in self.pages(barcode) {
            let mut header = Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(1_234_567_890);
            header.set_uid(1000);
            tar.append_data(&mut header, name, bytes.as_slice())?;
        }
        let tar = tar.into_inner()?;
        match Digest::of(barcode.as_bytes()).as_bytes()[0] % 3 {
            0 => Ok(tar),
            1 => zstd::encode_all(tar.as_slice(), 1),
            _ => {
                let mut gzip = GzBuilder::new().write(Vec::new(), Compression::fast());
                io::Write::write_all(&mut gzip, &tar)?;
                gzip.finish()
            }
        }
    }
}
