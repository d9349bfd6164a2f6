//! A writer of tokens. Sequences get an undefined length, because their contents may have become shorter;
//! values are written unchanged.

use dicom_core::{DataElementHeader, Length, Tag, VR};
use dicom_encoding::encode::Result;
use dicom_encoding::transfer_syntax::{DynEncoder, TransferSyntax};
use dicom_parser::dataset::DataToken;

pub struct TokenWriter {
    encoder: DynEncoder<'static, Vec<u8>>,
    bytes: Vec<u8>,
    /// Element whose value comes next.
    element: DataElementHeader,
    in_pixels: bool,
}

const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

impl TokenWriter {
    /// A writer that appends to these bytes. `None` if the transfer syntax cannot be written.
    pub fn after(bytes: Vec<u8>, syntax: &TransferSyntax) -> Option<TokenWriter> {
        let element = DataElementHeader::new(Tag(0, 0), VR::UN, Length(0));
        Some(TokenWriter { encoder: syntax.encoder_for()?, bytes, element, in_pixels: false })
    }

    /// Writes a token.
    ///
    /// # Errors
    /// If the transfer syntax cannot express it.
    pub fn write(&mut self, token: &DataToken) -> Result<()> {
        match token {
            DataToken::ElementHeader(header) => self.element = *header,
            DataToken::PrimitiveValue(value) => self.value(&value.to_bytes())?,
            DataToken::SequenceStart { tag, .. } => self.header(*tag, VR::SQ, Length::UNDEFINED)?,
            DataToken::PixelSequenceStart => {
                self.in_pixels = true;
                self.header(PIXEL_DATA, VR::OB, Length::UNDEFINED)?;
            }
            DataToken::ItemStart { len } => {
                let length = if self.in_pixels { len.0 } else { Length::UNDEFINED.0 };
                self.encoder.encode_item_header(&mut self.bytes, length)?;
            }
            DataToken::ItemValue(bytes) => self.bytes.extend(bytes),
            DataToken::OffsetTable(offsets) => {
                self.encoder.encode_offset_table(&mut self.bytes, offsets)?;
            }
            DataToken::ItemEnd if self.in_pixels => {}
            DataToken::ItemEnd => self.encoder.encode_item_delimiter(&mut self.bytes)?,
            DataToken::SequenceEnd => {
                self.in_pixels = false;
                self.encoder.encode_sequence_delimiter(&mut self.bytes)?;
            }
        }
        Ok(())
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes a value, padded to an even length.
    fn value(&mut self, value: &[u8]) -> Result<()> {
        let DataElementHeader { tag, vr, .. } = self.element;
        self.header(tag, vr, Length(value.len().next_multiple_of(2) as u32))?;
        self.bytes.extend(value);
        if value.len() % 2 == 1 {
            let is_binary = matches!(vr, VR::UI | VR::OB | VR::UN);
            self.bytes.push(if is_binary { 0 } else { b' ' });
        }
        Ok(())
    }

    fn header(&mut self, tag: Tag, vr: VR, length: Length) -> Result<()> {
        let header = DataElementHeader::new(tag, vr, length);
        self.encoder.encode_element_header(&mut self.bytes, header).map(drop)
    }
}
