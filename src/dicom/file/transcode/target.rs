//! Target of a conversion, little endian.

use std::io::Write;

use dicom_core::Tag;

use crate::dicom_file::encoding::UNDEFINED;
use crate::dicom_file::representation::{is_short, is_text};

use super::untranscodable::TranscodeError;

/// A data set that is being written.
pub struct TargetDataSet<'a> {
    pub explicit: bool,
    pub to: &'a mut dyn Write,
}

impl TargetDataSet<'_> {
    pub fn mark(&mut self, tag: Tag, length: u32) -> Result<(), TranscodeError> {
        self.tag(tag)?;
        Ok(self.to.write_all(&length.to_le_bytes())?)
    }

    fn tag(&mut self, Tag(group, element): Tag) -> Result<(), TranscodeError> {
        self.to.write_all(&group.to_le_bytes())?;
        Ok(self.to.write_all(&element.to_le_bytes())?)
    }

    pub fn head(&mut self, tag: Tag, vr: [u8; 2], length: u32) -> Result<(), TranscodeError> {
        self.tag(tag)?;
        match u16::try_from(length) {
            _ if !self.explicit => {}
            Ok(length) if is_short(vr) => {
                self.to.write_all(&vr)?;
                return Ok(self.to.write_all(&length.to_le_bytes())?);
            }
            _ => {
                // A value that is too long for its representation is written as unknown (PS3.5 6.2.2).
                self.to.write_all(if is_short(vr) { b"UN" } else { &vr })?;
                self.to.write_all(&[0, 0])?;
            }
        }
        Ok(self.to.write_all(&length.to_le_bytes())?)
    }

    pub fn value(&mut self, tag: Tag, vr: [u8; 2], bytes: &[u8]) -> Result<(), TranscodeError> {
        let padding = bytes.len() % 2;
        let length = u32::try_from(bytes.len() + padding).ok().filter(|length| *length != UNDEFINED);
        let too_long = || TranscodeError::Pixels("they take more than 4 GiB".to_owned());
        self.head(tag, vr, length.ok_or_else(too_long)?)?;
        self.to.write_all(bytes)?;
        let pad: &[u8] = if is_text(vr) { b" " } else { b"\0" };
        Ok(self.to.write_all(&pad[..padding])?)
    }
}
