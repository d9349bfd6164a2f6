//! The digest of what a DICOM file says, computed while its bytes come, and whether the file is whole.
//!
//! Files of one data set have one digest, whatever stands before the data set, whether its elements are explicit
//! or implicit little endian, and whether lengths or delimiters end its sequences. Group lengths and padding do
//! not count. Pixels count as they are stored, without a second look at them: the same image under another
//! compression is another content. Deflated and big endian data sets count as bytes. The digest of bytes that
//! are not DICOM is that of the bytes.

use std::io::{self, Write};

use dicom_core::Tag;
use dicom_core::dictionary::{UidDictionary, UidDictionaryEntry};
use dicom_dictionary_std::sop_class::StandardSopClassDictionary;
use dicom_dictionary_std::tags;

use crate::step::{Digest, Digester};

use super::encoding::{
    DEFLATED, EXPLICIT_BIG_ENDIAN, ElementHead, Encoding, ITEM, ITEM_END, SEQUENCE_END, UNDEFINED,
    actual_syntax,
};
use super::part10::{FileBeginning, MARK_ENDS};
use super::representation::{is_short, known_vr};
use super::uid::UID_CHARACTERS_MAX;

/// The content of a file that has been read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    pub digest: Digest,
    /// The digest of the elements before the pixels.
    pub header: Digest,
    /// What is missing at the end of a DICOM file that is cut off, as a fragment.
    pub missing: Option<String>,
}

/// Computes a file's content from bytes that come in pieces.
pub struct ContentDigester {
    digester: Digester,
    state: DigestState,
    /// Bytes of what is being read and not complete.
    held: Vec<u8>,
    /// Bytes read so far.
    at: u64,
    part: FilePart,
    encoding: Encoding,
    open: Vec<OpenLevel>,
    transfer_syntax_uid: Vec<u8>,
    sop_class_uid: Vec<u8>,
    header: Option<Digest>,
}

#[derive(Clone, Copy)]
enum DigestState {
    /// Before it is known whether this is DICOM.
    Beginning,
    Head,
    /// Before a value that may be a sequence without being called one.
    Unknown(ElementHead),
    Value {
        tag: Tag,
        left: u64,
        usage: ValueUsage,
    },
    /// The rest, or all, counts as bytes.
    Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FilePart {
    MetaInformation,
    DataSet,
}

#[derive(Clone, Copy)]
enum ValueUsage {
    Counted,
    Skipped,
}

/// A sequence, an item or encapsulated pixels, open.
struct OpenLevel {
    kind: LevelKind,
    /// Where it ends, if its length says so.
    ends: Option<u64>,
    /// Encoding outside.
    outside: Encoding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LevelKind {
    Sequence,
    Item,
    /// Fragments, of which so many have been read; the first is the offset table.
    Fragments(u32),
}

/// Sequences in sequences; nothing real has ten.
const DEPTH_MAX: usize = 128;

const ITEM_MARK: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];

impl Default for ContentDigester {
    fn default() -> ContentDigester {
        ContentDigester {
            digester: Digester::default(),
            state: DigestState::Beginning,
            held: Vec::new(),
            at: 0,
            part: FilePart::MetaInformation,
            encoding: Encoding::EXPLICIT,
            open: Vec::new(),
            transfer_syntax_uid: Vec::new(),
            sop_class_uid: Vec::new(),
            header: None,
        }
    }
}

impl Write for ContentDigester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileContent {
    pub fn of(bytes: &[u8]) -> FileContent {
        let mut digester = ContentDigester::default();
        digester.update(bytes);
        digester.finish()
    }
}

impl ContentDigester {
    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.state {
                DigestState::Beginning => {
                    if self.collect(&mut bytes, MARK_ENDS as usize) {
                        self.begin();
                    }
                }
                DigestState::Head => {
                    let wanted = self.head_bytes();
                    if self.collect(&mut bytes, wanted) && self.head_bytes() == self.held.len() {
                        self.head();
                    }
                }
                DigestState::Unknown(head) => {
                    if self.collect(&mut bytes, ITEM_MARK.len()) {
                        self.unknown(head);
                    }
                }
                DigestState::Value { tag, left, usage } => {
                    let (value, rest) =
                        bytes.split_at(bytes.len().min(left.try_into().unwrap_or(usize::MAX)));
                    bytes = rest;
                    self.value_piece(tag, value, usage);
                    self.value(tag, left - value.len() as u64, usage);
                }
                DigestState::Bytes => return self.digester.update(bytes),
            }
        }
    }

    /// The content, after the last byte.
    pub fn finish(mut self) -> FileContent {
        if matches!(self.state, DigestState::Beginning) {
            self.begin();
        }
        let missing = self.missing();
        // What is left of something incomplete.
        self.digester.update(&self.held);
        let digest = self.digester.digest();
        FileContent { digest, header: self.header.unwrap_or(digest), missing }
    }

    /// Whether so many bytes are held now.
    fn collect(&mut self, bytes: &mut &[u8], wanted: usize) -> bool {
        let (taken, rest) = bytes.split_at(bytes.len().min(wanted.saturating_sub(self.held.len())));
        self.held.extend_from_slice(taken);
        self.at += taken.len() as u64;
        *bytes = rest;
        self.held.len() >= wanted
    }

    fn begin(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.state = DigestState::Head;
        match FileBeginning::of(&held) {
            Some(FileBeginning::Preamble) => {}
            Some(FileBeginning::MetaInformation | FileBeginning::DataSet) => {
                self.at = 0;
                self.update(&held);
            }
            None => {
                self.digester.update(&held);
                self.state = DigestState::Bytes;
            }
        }
    }

    /// Bytes of the head of which some are held.
    fn head_bytes(&self) -> usize {
        let Some(&[g, h, _, _, v, r, _, _]) = self.held.first_chunk() else { return 8 };
        let explicit = self.encoding.explicit && u16::from_le_bytes([g, h]) != ITEM.group();
        if explicit && !is_short([v, r]) { 12 } else { 8 }
    }

    fn head(&mut self) {
        if self.part == FilePart::MetaInformation && self.held[..2] != [2, 0] {
            self.part = FilePart::DataSet;
            let declared = String::from_utf8_lossy(&self.transfer_syntax_uid).into_owned();
            let actual = actual_syntax(declared.trim_matches(['\0', ' ']), &self.held).to_owned();
            self.encoding = Encoding::of(&actual);
            self.transfer_syntax_uid = actual.into_bytes();
            if [DEFLATED, EXPLICIT_BIG_ENDIAN].map(str::as_bytes).contains(&&*self.transfer_syntax_uid) {
                return self.take_for_bytes();
            }
            if self.head_bytes() != self.held.len() {
                // The head is read on, or anew, as it is encoded.
                let held = std::mem::take(&mut self.held);
                self.at -= held.len() as u64;
                return self.update(&held);
            }
        }
        let mut rest = self.held.as_slice();
        let head = ElementHead::read(self.encoding, |into| {
            let (taken, left) = rest.split_at_checked(into.len()).ok_or(())?;
            into.copy_from_slice(taken);
            rest = left;
            Ok::<(), ()>(())
        });
        match (head, self.open.last().map(|level| (level.kind, level.ends))) {
            (Ok(head), None | Some((LevelKind::Item, _))) if head.tag.group() != ITEM.group() => {
                self.held.clear();
                self.element(head);
            }
            (Ok(ElementHead { tag: ITEM, length, .. }), Some((LevelKind::Fragments(count), _))) => {
                self.held.clear();
                self.fragment(count, length);
            }
            (Ok(ElementHead { tag: ITEM, length, .. }), Some((LevelKind::Sequence, _))) => {
                self.held.clear();
                self.digester.update(b"item");
                self.open(LevelKind::Item, length, self.encoding);
            }
            (Ok(head), Some((kind, None))) if is_end(head.tag, kind) => {
                self.held.clear();
                self.close();
                self.close_what_ends();
            }
            _ => self.take_for_bytes(),
        }
    }

    fn element(&mut self, head: ElementHead) {
        let ElementHead { tag, length, .. } = head;
        if self.part == FilePart::MetaInformation {
            return self.value(tag, u64::from(length), ValueUsage::Skipped);
        }
        if tag == tags::PIXEL_DATA && self.open.is_empty() {
            self.header = Some(self.digester.digest());
        }
        let vr = head.vr.unwrap_or_else(|| known_vr(tag, false));
        match length {
            UNDEFINED if tag == tags::PIXEL_DATA => {
                self.begin_element(tag, b"fragments");
                let syntax = self.transfer_syntax_uid.clone();
                self.digester.update(&syntax);
                self.open(LevelKind::Fragments(0), UNDEFINED, self.encoding);
            }
            UNDEFINED => self.sequence(head),
            _ if &vr == b"SQ" => self.sequence(head),
            _ if is_no_content(tag) => self.value(tag, u64::from(length), ValueUsage::Skipped),
            8.. if &vr == b"UN" => self.state = DigestState::Unknown(head),
            _ => {
                self.begin_element(tag, &length.to_le_bytes());
                self.value(tag, u64::from(length), ValueUsage::Counted);
            }
        }
    }

    /// A value of unknown representation: one that begins like an item is a sequence.
    fn unknown(&mut self, head: ElementHead) {
        if self.held == ITEM_MARK {
            // The mark has been read, and belongs to the item.
            self.at -= self.held.len() as u64;
            self.sequence(head);
            self.at += self.held.len() as u64;
            return;
        }
        self.begin_element(head.tag, &head.length.to_le_bytes());
        let held = std::mem::take(&mut self.held);
        self.digester.update(&held);
        self.value(head.tag, u64::from(head.length) - held.len() as u64, ValueUsage::Counted);
    }

    fn sequence(&mut self, head: ElementHead) {
        self.begin_element(head.tag, b"sequence");
        // PS3.5 6.2.2: inside a UN everything is implicit little endian.
        let inside = if head.is_unknown() { Encoding::IMPLICIT } else { self.encoding };
        self.open(LevelKind::Sequence, head.length, inside);
    }

    fn fragment(&mut self, count: u32, length: u32) {
        if let Some(level) = self.open.last_mut() {
            level.kind = LevelKind::Fragments(count.saturating_add(1));
        }
        let usage = if count == 0 { ValueUsage::Skipped } else { ValueUsage::Counted };
        self.value(tags::PIXEL_DATA, u64::from(length), usage);
    }

    fn begin_element(&mut self, tag: Tag, kind: &[u8]) {
        self.digester.update(&tag.group().to_le_bytes());
        self.digester.update(&tag.element().to_le_bytes());
        self.digester.update(kind);
    }

    /// A value has so many bytes to come.
    fn value(&mut self, tag: Tag, left: u64, usage: ValueUsage) {
        self.state = match left {
            0 => DigestState::Head,
            _ => DigestState::Value { tag, left, usage },
        };
        if left == 0 {
            self.close_what_ends();
        }
    }

    fn value_piece(&mut self, tag: Tag, piece: &[u8], usage: ValueUsage) {
        self.at += piece.len() as u64;
        if let ValueUsage::Counted = usage {
            self.digester.update(piece);
        }
        let uid = match tag {
            tags::TRANSFER_SYNTAX_UID if self.part == FilePart::MetaInformation => {
                &mut self.transfer_syntax_uid
            }
            tags::SOP_CLASS_UID if self.open.is_empty() => &mut self.sop_class_uid,
            _ => return,
        };
        let room = UID_CHARACTERS_MAX - uid.len();
        uid.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn open(&mut self, kind: LevelKind, length: u32, inside: Encoding) {
        if self.open.len() >= DEPTH_MAX {
            return self.take_for_bytes();
        }
        let ends = (length != UNDEFINED).then(|| self.at + u64::from(length));
        self.open.push(OpenLevel { kind, ends, outside: self.encoding });
        self.encoding = inside;
        self.state = DigestState::Head;
        self.close_what_ends();
    }

    fn close(&mut self) {
        if let Some(level) = self.open.pop() {
            self.encoding = level.outside;
            self.digester.update(b"end");
        }
    }

    fn close_what_ends(&mut self) {
        while let Some(ends) = self.open.last().and_then(|level| level.ends) {
            match ends.cmp(&self.at) {
                std::cmp::Ordering::Greater => return,
                std::cmp::Ordering::Equal => self.close(),
                std::cmp::Ordering::Less => return self.take_for_bytes(),
            }
        }
    }

    /// From here on, what cannot be understood counts as it is.
    fn take_for_bytes(&mut self) {
        self.state = DigestState::Bytes;
        self.digester.update(b"bytes");
        self.digester.update(&self.transfer_syntax_uid);
        let held = std::mem::take(&mut self.held);
        self.digester.update(&held);
    }

    fn missing(&self) -> Option<String> {
        match self.state {
            DigestState::Beginning | DigestState::Bytes => None,
            DigestState::Value { tag, left, .. } => {
                Some(format!("{left} bytes of the element {tag} are missing"))
            }
            DigestState::Unknown(head) => Some(format!("most of the element {} is missing", head.tag)),
            // Some programs fill a file up behind its pixels.
            DigestState::Head if self.header.is_some() && self.open.is_empty() => None,
            DigestState::Head if !self.held.is_empty() => Some("it ends within an element".to_owned()),
            DigestState::Head if self.part == FilePart::MetaInformation => {
                Some("it ends before its data set".to_owned())
            }
            DigestState::Head => match self.open.last().map(|level| level.kind) {
                // Not every encoder ends the fragments as it should.
                Some(LevelKind::Fragments(2..)) | None => self.missing_pixels(),
                Some(_) => Some("it ends within a sequence".to_owned()),
            },
        }
    }

    fn missing_pixels(&self) -> Option<String> {
        let class = String::from_utf8_lossy(&self.sop_class_uid);
        let lacks = self.header.is_none() && is_image(class.trim_end_matches(['\0', ' ']));
        lacks.then(|| "it ends before its pixels".to_owned())
    }
}

/// Whether instances of a SOP class are images, which have pixels.
pub fn is_image(sop_class_uid: &str) -> bool {
    let entry = StandardSopClassDictionary.by_uid(sop_class_uid);
    entry.is_some_and(|entry| entry.name().contains("Image Storage"))
}

/// Group lengths, padding, and where the fragments of pixels lie.
fn is_no_content(tag: Tag) -> bool {
    matches!(tag, Tag(_, 0) | Tag(0x0008, 0x0001) | Tag(0x7FE0, 1..=3) | Tag(0xFFFC, 0xFFFC))
}

fn is_end(tag: Tag, kind: LevelKind) -> bool {
    match kind {
        LevelKind::Item => tag == ITEM_END,
        LevelKind::Sequence | LevelKind::Fragments(_) => tag == SEQUENCE_END,
    }
}

#[cfg(test)]
mod tests;
