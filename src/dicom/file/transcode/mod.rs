//! Conversion of a data set to another transfer syntax, for a destination that does not accept the present
//! one.
//!
//! The data set is copied element by element: only a piece of a value is in memory, and no length is trusted
//! before its bytes have been read. Values keep their content and change only in byte order, also text in any
//! character set and private elements. Sequences get undefined lengths, group lengths are dropped, odd
//! lengths are padded, and compressed pixels are decoded. Decoding gives the same instance in another form,
//! so the UIDs stay (PS3.3 C.12.1.1.1, PS3.5 section 8).

mod plain_pixels;
mod source;
mod target;
mod untranscodable;
mod walk;

use std::io::{self, Read, Write};

use dicom_dictionary_std::uids;

use crate::dicom_file::encoding::{DEFLATED, Encoding, is_native};
use crate::dicom_file::inflate::inflating;

use super::object::DicomObject;
use source::SourceBytes;
use target::TargetDataSet;
use walk::DataSetWalk;

pub use plain_pixels::{Decode, PlainPixels, plain_pixels};
pub(in crate::dicom) use untranscodable::TranscodeError;

/// An object that can be had in other transfer syntaxes.
pub(in crate::dicom) struct TranscodableObject<'a> {
    object: &'a DicomObject,
    pixels: Option<PlainPixels>,
}

/// The transfer syntaxes to which any native one can be converted, the better one first: implicit VR loses
/// the VRs of private elements.
pub(in crate::dicom) const TARGETS: [&str; 2] =
    [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];

/// The limit to which a deflated data set is inflated: a crafted one could inflate without end.
const BYTES_MAX: u64 = 8 << 30;

impl<'a> TranscodableObject<'a> {
    /// Checks that the object can be converted, before any of it is sent: the destination must not get half
    /// an object.
    pub fn prepare(
        object: &'a DicomObject,
        decode: Option<Decode>,
    ) -> Result<TranscodableObject<'a>, TranscodeError> {
        let pixels = match decode {
            _ if is_native(object.transfer_syntax_uid()) => None,
            None => return Err(TranscodeError::Pixels("nothing here decodes them".to_owned())),
            Some(decode) => {
                let mut file = Vec::new();
                object.file()?.read_to_end(&mut file)?;
                Some(decode(&file).map_err(TranscodeError::Pixels)?)
            }
        };
        let transcoding = TranscodableObject { object, pixels };
        transcoding.write(uids::EXPLICIT_VR_LITTLE_ENDIAN, &mut io::sink())?;
        Ok(transcoding)
    }

    /// Writes the data set in one of [`TARGETS`].
    pub fn write(&self, transfer_syntax_uid: &str, to: &mut dyn Write) -> Result<(), TranscodeError> {
        let data_set = self.object.data_set()?;
        let syntax = self.object.transfer_syntax_uid();
        let bytes: Box<dyn Read> =
            if syntax == DEFLATED { Box::new(inflating(data_set, BYTES_MAX)) } else { data_set };
        let target = TargetDataSet { explicit: transfer_syntax_uid != uids::IMPLICIT_VR_LITTLE_ENDIAN, to };
        DataSetWalk::new(SourceBytes::new(bytes), Encoding::of(syntax), target, self.pixels.as_ref()).all()
    }
}

#[cfg(test)]
mod tests {
    use dicom_core::value::{DataSetSequence, PrimitiveValue};
    use dicom_core::{DataElement, VR, dicom_value};
    use dicom_dictionary_std::tags;
    use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
    use dicom_object::InMemDicomObject;
    use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

    use super::*;
    use crate::dicom_file::encoding::{EXPLICIT_BIG_ENDIAN, UNDEFINED};
    use crate::dicom_file::part10::FileHead;

    const NATIVE: [&str; 4] = [
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_BIG_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ];

    fn object(transfer_syntax_uid: &str, data_set: &[u8]) -> DicomObject {
        let head = FileHead {
            sop_class_uid: "1.2".to_owned(),
            sop_instance_uid: "1.2.3".to_owned(),
            transfer_syntax_uid: transfer_syntax_uid.to_owned(),
        };
        DicomObject::read("object", [head.encode(), data_set.to_vec()].concat().into()).unwrap()
    }

    /// Of every kind of value one, text in Latin-1, sequences in sequences, and private elements.
    fn values() -> InMemDicomObject {
        let inner = InMemDicomObject::from_element_iter([
            DataElement::new(tags::CODE_VALUE, VR::SH, "T-28000"),
            DataElement::new(tags::PIXEL_REPRESENTATION, VR::US, PrimitiveValue::from(0_u16)),
            DataElement::new(tags::SMALLEST_IMAGE_PIXEL_VALUE, VR::US, PrimitiveValue::from(65_000_u16)),
        ]);
        let outer = InMemDicomObject::from_element_iter([
            DataElement::new(
                tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE,
                VR::SQ,
                DataSetSequence::from(vec![inner]),
            ),
            DataElement::new(tags::REFERENCED_FRAME_NUMBER, VR::IS, "7"),
        ]);
        let empty = InMemDicomObject::new_empty();
        InMemDicomObject::from_element_iter([
            DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
            DataElement::new(tags::PATIENT_NAME, VR::PN, "M\u{fc}ller^J\u{f6}rg"),
            DataElement::new(
                tags::REFERENCED_IMAGE_SEQUENCE,
                VR::SQ,
                DataSetSequence::from(vec![outer, empty]),
            ),
            DataElement::new(dicom_core::Tag(0x0009, 0x0010), VR::LO, "FLOW"),
            DataElement::new(dicom_core::Tag(0x0009, 0x1001), VR::UN, dicom_value!(U8, [1, 2, 3, 4])),
            DataElement::new(tags::FRAME_INCREMENT_POINTER, VR::AT, PrimitiveValue::from(tags::FRAME_TIME)),
            DataElement::new(tags::PIXEL_REPRESENTATION, VR::US, PrimitiveValue::from(1_u16)),
            DataElement::new(tags::SMALLEST_IMAGE_PIXEL_VALUE, VR::SS, PrimitiveValue::from(-1000_i16)),
            DataElement::new(tags::EVENT_ELAPSED_TIMES, VR::DS, "0.5"),
            DataElement::new(tags::REAL_WORLD_VALUE_SLOPE, VR::FD, PrimitiveValue::from(0.25_f64)),
            DataElement::new(tags::SIMPLE_FRAME_LIST, VR::UL, dicom_value!(U32, [1, 70_000])),
            DataElement::new(tags::PIXEL_DATA, VR::OW, dicom_value!(U16, [1, 2, 0xFFFE])),
        ])
    }

    fn written(values: &InMemDicomObject, transfer_syntax_uid: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let syntax = TransferSyntaxRegistry.get(transfer_syntax_uid).unwrap();
        values.write_dataset_with_ts(&mut bytes, syntax).unwrap();
        bytes
    }

    fn transcoded(object: &DicomObject, to: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        TranscodableObject::prepare(object, None).unwrap().write(to, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn from_every_native_form_into_the_two_that_everybody_takes() {
        for from in NATIVE {
            let object = object(from, &written(&values(), from));
            for to in TARGETS {
                let bytes = transcoded(&object, to);
                let syntax = TransferSyntaxRegistry.get(to).unwrap();
                let read = InMemDicomObject::read_dataset_with_ts(bytes.as_slice(), syntax).unwrap();
                let expected = written(&values(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
                assert!(
                    written(&read, uids::EXPLICIT_VR_LITTLE_ENDIAN) == expected,
                    "{from} to {to}: {read:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_converted_and_back_is_the_same() {
        let explicit = transcoded(
            &object(uids::IMPLICIT_VR_LITTLE_ENDIAN, &written(&values(), uids::IMPLICIT_VR_LITTLE_ENDIAN)),
            uids::EXPLICIT_VR_LITTLE_ENDIAN,
        );
        let implicit =
            transcoded(&object(uids::EXPLICIT_VR_LITTLE_ENDIAN, &explicit), uids::IMPLICIT_VR_LITTLE_ENDIAN);
        let again =
            transcoded(&object(uids::IMPLICIT_VR_LITTLE_ENDIAN, &implicit), uids::EXPLICIT_VR_LITTLE_ENDIAN);
        assert!(again == explicit);
    }

    /// With explicit VR, little endian: tag, VR and a short length.
    fn short(group: u16, element: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let length = value.len() as u16;
        [&group.to_le_bytes()[..], &element.to_le_bytes(), vr, &length.to_le_bytes(), value].concat()
    }

    fn long(group: u16, element: u16, vr: &[u8; 2], length: u32, value: &[u8]) -> Vec<u8> {
        [&group.to_le_bytes()[..], &element.to_le_bytes(), vr, &[0, 0], &length.to_le_bytes(), value].concat()
    }

    #[test]
    fn sequences_of_known_length_and_unknown_ones_become_sequences_of_undefined_length() {
        let inside = short(8, 0x0100, b"SH", b"CODE");
        let item = [&[0xFE, 0xFF, 0x00, 0xE0][..], &(inside.len() as u32).to_le_bytes(), &inside].concat();
        let known = long(0x0008, 0x1140, b"SQ", item.len() as u32, &item);
        // Its content has implicit VR, whatever stands around it.
        let content = [&[8, 0, 0, 1][..], &4_u32.to_le_bytes(), b"CODE"].concat();
        let item = [&[0xFE, 0xFF, 0x00, 0xE0][..], &(content.len() as u32).to_le_bytes(), &content].concat();
        let end = [&[0xFE, 0xFF, 0xDD, 0xE0][..], &[0; 4]].concat();
        let unknown = long(0x0009, 0x1002, b"UN", UNDEFINED, &[item, end.clone()].concat());
        let source = [known, unknown].concat();
        let bytes =
            transcoded(&object(uids::EXPLICIT_VR_LITTLE_ENDIAN, &source), uids::EXPLICIT_VR_LITTLE_ENDIAN);
        let item = [
            &[0xFE, 0xFF, 0x00, 0xE0][..],
            &UNDEFINED.to_le_bytes(),
            &inside,
            &[0xFE, 0xFF, 0x0D, 0xE0],
            &[0; 4],
            &end,
        ]
        .concat();
        let expected =
            [long(0x0008, 0x1140, b"SQ", UNDEFINED, &item), long(0x0009, 0x1002, b"SQ", UNDEFINED, &item)];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn odd_lengths_get_even_and_group_lengths_go() {
        let source = [
            short(8, 0, b"UL", &[9, 9, 9, 9]),
            short(8, 0x0060, b"CS", b"CTX"),
            short(8, 0x0018, b"UI", b"1.2.3"),
        ];
        let bytes = transcoded(
            &object(uids::EXPLICIT_VR_LITTLE_ENDIAN, &source.concat()),
            uids::EXPLICIT_VR_LITTLE_ENDIAN,
        );
        assert_eq!(bytes, [short(8, 0x0060, b"CS", b"CTX "), short(8, 0x0018, b"UI", b"1.2.3\0")].concat());
    }

    #[test]
    fn a_value_that_is_too_long_for_its_representation_becomes_an_unknown_one() {
        let value = vec![b'1'; 70_000];
        let source = [&[0x18, 0, 0x63, 0x10][..], &70_000_u32.to_le_bytes(), &value].concat();
        let bytes =
            transcoded(&object(uids::IMPLICIT_VR_LITTLE_ENDIAN, &source), uids::EXPLICIT_VR_LITTLE_ENDIAN);
        assert_eq!(bytes, long(0x0018, 0x1063, b"UN", 70_000, &value));
    }

    fn compressed() -> DicomObject {
        let fragments = [
            &[0xFE, 0xFF, 0x00, 0xE0][..],
            &[0; 4],
            &[0xFE, 0xFF, 0x00, 0xE0],
            &4_u32.to_le_bytes(),
            b"JPEG",
            &[0xFE, 0xFF, 0xDD, 0xE0],
            &[0; 4],
        ]
        .concat();
        let source = [
            short(0x0028, 0x0004, b"CS", b"YBR_FULL_422"),
            short(0x0028, 0x0006, b"US", &[1, 0]),
            long(0x7FE0, 0x0001, b"OV", 8, &[0; 8]),
            long(0x7FE0, 0x0010, b"OB", UNDEFINED, &fragments),
            long(0xFFFC, 0xFFFC, b"OB", 2, &[0, 0]),
        ];
        object(uids::JPEG_BASELINE8_BIT, &source.concat())
    }

    #[test]
    fn compressed_pixels_are_decoded_and_the_header_says_so() {
        let decode: Decode = |file| {
            assert!(file.starts_with(&[0; 128]) && file[128..].starts_with(b"DICM"), "a whole file");
            let (vr, photometric_interpretation) = (*b"OB", "RGB".to_owned());
            Ok(PlainPixels { vr, bytes: vec![1, 2, 3], photometric_interpretation })
        };
        let object = compressed();
        let mut bytes = Vec::new();
        let transcoding = TranscodableObject::prepare(&object, Some(decode)).unwrap();
        transcoding.write(uids::EXPLICIT_VR_LITTLE_ENDIAN, &mut bytes).unwrap();
        let expected = [
            short(0x0028, 0x0004, b"CS", b"RGB "),
            short(0x0028, 0x0006, b"US", &[0, 0]),
            long(0x7FE0, 0x0010, b"OB", 4, &[1, 2, 3, 0]),
            long(0xFFFC, 0xFFFC, b"OB", 2, &[0, 0]),
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn what_cannot_be_decoded_is_told() {
        let object = compressed();
        assert!(TranscodableObject::prepare(&object, None).is_err());
        let broken: Decode = |_| Err("the stream is cut off".to_owned());
        let error = TranscodableObject::prepare(&object, Some(broken)).err().unwrap();
        assert_eq!(error.to_string(), "its pixels cannot be decoded: the stream is cut off");
    }

    #[test]
    fn damage_is_an_error_with_its_place_and_costs_no_memory() {
        for from in NATIVE {
            let good = written(&values(), from);
            let whole = transcoded(&object(from, &good), uids::EXPLICIT_VR_LITTLE_ENDIAN);
            for length in 0..good.len() {
                let cut = object(from, &good[..length]);
                let mut bytes = Vec::new();
                if let Ok(transcoding) = TranscodableObject::prepare(&cut, None) {
                    // A cut between two elements cannot be noticed.
                    transcoding.write(uids::EXPLICIT_VR_LITTLE_ENDIAN, &mut bytes).unwrap();
                    assert!(whole.starts_with(&bytes), "{from} cut at {length}");
                }
            }
            for place in 0..good.len() {
                let mut turned = good.clone();
                turned[place] ^= 0xFF;
                let _ = TranscodableObject::prepare(&object(from, &turned), None)
                    .err()
                    .map(|error| error.to_string());
            }
        }
        let forged = long(0x7FE0, 0x0010, b"OW", UNDEFINED - 1, &[1, 2]);
        let error = TranscodableObject::prepare(&object(uids::EXPLICIT_VR_LITTLE_ENDIAN, &forged), None)
            .err()
            .unwrap();
        assert!(matches!(error, TranscodeError::Damaged { .. }), "{error}");
        let nested =
            [long(8, 0x1140, b"SQ", UNDEFINED, &[]), vec![0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]];
        let deep = nested.concat().repeat(1000);
        let error =
            TranscodableObject::prepare(&object(uids::EXPLICIT_VR_LITTLE_ENDIAN, &deep), None).err().unwrap();
        assert!(error.to_string().contains("too deep"), "{error}");
    }
}
