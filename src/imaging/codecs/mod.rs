//! Pixels of any transfer syntax (PS3.5 section 8 and annex A) to little-endian samples.
//!
//! | transfer syntaxes | decoded by |
//! |---|---|
//! | native, encapsulated uncompressed, deflated frames | [`native`], flate2 |
//! | RLE | [`rle`] |
//! | JPEG baseline, extended of 8 and 12 bits, lossless | [`jpeg`] |
//! | JPEG-LS | [`jpeg_ls`] |
//! | JPEG 2000, HTJ2K | openjp2, through [`jpeg2000`] |
//!
//! Input may be malicious. Sizes come from the header and are checked in [`PixelLayout`]; a code stream must have
//! the same size, and each frame is decoded into memory allocated before. The decoders here do not panic;
//! openjp2's panics are caught, because it was not written for malicious input.

mod codec;
mod decode_error;
mod decoded;
mod fragments;
mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod layout;
mod loss;
mod native;
mod rle;
mod samples;
mod stream;

pub use codec::{can_decode, decode, decode_frame, photometric_interpretation, says_precision};
pub use decode_error::{DecodeError, is_private_syntax, syntax_name};
pub use decoded::{DecodedPixels, decoded};
pub use layout::{PixelLayout, PlanarOrder};
pub use loss::stream_loses;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
