//! Compressed streams of a PDF.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::{Filter, Pdf, Ref, Stream};

/// Writes bytes as a compressed stream; `describe` adds to its dictionary.
pub fn deflated(pdf: &mut Pdf, id: Ref, bytes: &[u8], describe: impl FnOnce(&mut Stream)) {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory can be written");
    let mut stream = pdf.stream(id, &packed);
    stream.filter(Filter::FlateDecode);
    describe(&mut stream);
}
