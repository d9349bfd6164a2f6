//! A data set in another transfer syntax, for a destination that does not take the one it has.
//!
//! It goes from reader to writer element by element; no more than a piece of a value is in memory, and
//! no length is believed before its bytes are there. Values stay as they are but for the order of
//! their bytes, also text in any character set and what is private. Sequences get undefined lengths, group
//! lengths go, odd lengths get even, and compressed pixels are decoded. Decoding gives the same
//! instance in another form, so the UIDs stay (PS3.3 C.12.1.1.1, PS3.5 section 8).

mod representation;
mod source;
mod target;
mod walk;

use std::io::{self, Read, Write};

use dicom_core::Tag;
use dicom_dictionary_std::uids;

use crate::imaging;

use super::Object;
use source::Source;
use target::Target;
use walk::Walk;

/// Pixels that are not compressed, and what the header has to say of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainPixels {
    /// `OB` or `OW`.
    pub vr: [u8; 2],
    /// Little endian.
    pub bytes: Vec<u8>,
    pub photometric_interpretation: String,
}

/// Decodes the pixels of a file (PS3.10).
pub type Decode = fn(&[u8]) -> Result<PlainPixels, String>;

/// Decodes whatever there is a decoder for.
///
/// # Errors
/// If there is none, or the file is damaged.
pub fn plain_pixels(file: &[u8]) -> Result<PlainPixels, String> {
    let decoded = imaging::decoded(file).map_err(|error| error.to_string())?;
    let vr = decoded.vr();
    let photometric_interpretation = decoded.photometric_interpretation;
    Ok(PlainPixels { vr, bytes: decoded.bytes, photometric_interpretation })
}

/// An object that can be had in other transfer syntaxes.
pub(super) struct Transcoding<'a> {
    object: &'a Object,
    pixels: Option<PlainPixels>,
}

/// Why an object cannot be had in another transfer syntax.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untranscodable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("its data set is damaged at byte {at}: {what}")]
    Damaged { at: u64, what: &'static str },
    #[error("its pixels cannot be decoded: {0}")]
    Pixels(String),
}

/// How a data set is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    explicit: bool,
    big_endian: bool,
}

const IMPLICIT: Form = Form { explicit: false, big_endian: false };
const EXPLICIT: Form = Form { explicit: true, big_endian: false };
const BIG_ENDIAN: Form = Form { explicit: true, big_endian: true };

/// The transfer syntaxes that any native one can be had in, the better one first: with implicit VR,
/// nobody can tell what a private value is.
pub(super) const TARGETS: [&str; 2] = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];

/// Retired, and still met.
const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// A deflated data set is inflated up to this size: a bomb has no end.
const BYTES_MAX: u64 = 8 << 30;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// Whether pixels lie in this syntax as they are.
pub(super) fn is_native(transfer_syntax_uid: &str) -> bool {
    let more = [EXPLICIT_BIG_ENDIAN, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN];
    TARGETS.contains(&transfer_syntax_uid) || more.contains(&transfer_syntax_uid)
}

impl<'a> Transcoding<'a> {
    /// Finds out whether the object can be had in another transfer syntax: the destination must not get
    /// half of one.
    pub fn prepare(object: &'a Object, decode: Option<Decode>) -> Result<Transcoding<'a>, Untranscodable> {
        let pixels = match decode {
            _ if is_native(object.transfer_syntax_uid()) => None,
            None => return Err(Untranscodable::Pixels("nothing here decodes them".to_owned())),
            Some(decode) => {
                let mut file = Vec::new();
                object.file()?.read_to_end(&mut file)?;
                Some(decode(&file).map_err(Untranscodable::Pixels)?)
            }
        };
        let transcoding = Transcoding { object, pixels };
        transcoding.write(uids::EXPLICIT_VR_LITTLE_ENDIAN, &mut io::sink())?;
        Ok(transcoding)
    }

    /// Writes the data set in one of [`TARGETS`].
    pub fn write(&self, transfer_syntax_uid: &str, to: &mut dyn Write) -> Result<(), Untranscodable> {
        let data_set = self.object.data_set()?;
        let (form, bytes): (Form, Box<dyn Read>) = match self.object.transfer_syntax_uid() {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => (IMPLICIT, data_set),
            EXPLICIT_BIG_ENDIAN => (BIG_ENDIAN, data_set),
            uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => {
                (EXPLICIT, Box::new(flate2::read::DeflateDecoder::new(data_set).take(BYTES_MAX)))
            }
            _ => (EXPLICIT, data_set),
        };
        let target = Target { explicit: transfer_syntax_uid != uids::IMPLICIT_VR_LITTLE_ENDIAN, to };
        Walk::new(Source::new(bytes), form, target, self.pixels.as_ref()).all()
    }
}

#[cfg(test)]
mod tests;
