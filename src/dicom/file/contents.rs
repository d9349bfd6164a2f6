//! A DICOM file as a tree of plain values, so that two can be compared element by element.

use ciborium::Value;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_encoding::transfer_syntax::Endianness;
use dicom_parser::dataset::DataToken;
use dicom_parser::dataset::read::ValueReadStrategy;

use super::data_set::{DataSet, DataSetError};
use super::plain::plain;
use crate::imaging::CharacterSet;

/// The deepest nesting of sequences that is read; real files have fewer than ten levels.
const LEVELS_MAX: usize = 64;

/// The elements of a DICOM file by keyword, or by tag where the standard has none for it. Sequences are
/// lists, text is text, a number is a number, pixels and other bulk are bytes.
///
/// # Errors
/// If the file cannot be read to its end.
pub fn contents(file: &[u8]) -> Result<Value, DataSetError> {
    let data_set = DataSet::open(file)?;
    let mut tree = ContentTree::new(data_set.syntax.endianness());
    for token in data_set.tokens(ValueReadStrategy::Raw)? {
        tree.take(token?)?;
    }
    let syntax = (Value::from("TransferSyntaxUID"), Value::from(data_set.syntax.uid()));
    Ok(Value::Map(std::iter::once(syntax).chain(tree.finish()).collect()))
}

/// The tree of the elements read so far.
struct ContentTree {
    /// The open levels, from the outermost to the innermost; the first is the file's own data set.
    open: Vec<TreeLevel>,
    /// Element whose value is read next.
    element: (Tag, VR),
    order: Endianness,
    /// Whether the elements are inside of encapsulated pixels, whose fragments are items without a data set.
    in_pixels: bool,
}

/// A data set or a list of values that has begun and not ended.
enum TreeLevel {
    Set { elements: Vec<(Value, Value)>, character_set: CharacterSet },
    List { keyword: String, parts: Vec<Value> },
}

impl TreeLevel {
    fn set(character_set: CharacterSet) -> TreeLevel {
        TreeLevel::Set { elements: Vec::new(), character_set }
    }
}

impl ContentTree {
    fn new(order: Endianness) -> ContentTree {
        let outermost = TreeLevel::set(CharacterSet::default());
        ContentTree { open: vec![outermost], element: (Tag(0, 0), VR::UN), order, in_pixels: false }
    }

    fn take(&mut self, token: DataToken) -> Result<(), DataSetError> {
        match token {
            DataToken::ElementHeader(header) => self.element = (header.tag, header.vr()),
            DataToken::PrimitiveValue(value) => self.value(&value.to_bytes()),
            DataToken::SequenceStart { tag, .. } => {
                self.begin(TreeLevel::List { keyword: keyword(tag), parts: Vec::new() })?;
            }
            DataToken::PixelSequenceStart => {
                self.in_pixels = true;
                self.begin(TreeLevel::List { keyword: "PixelData".to_owned(), parts: Vec::new() })?;
            }
            DataToken::ItemValue(bytes) => self.add_part(Value::Bytes(bytes)),
            DataToken::OffsetTable(offsets) => {
                self.add_part(offsets.into_iter().map(Value::from).collect::<Vec<_>>().into());
            }
            DataToken::ItemStart { .. } | DataToken::ItemEnd if self.in_pixels => {}
            DataToken::ItemStart { .. } => self.begin(TreeLevel::set(self.character_set()))?,
            DataToken::ItemEnd | DataToken::SequenceEnd => self.end(),
        }
        Ok(())
    }

    fn value(&mut self, bytes: &[u8]) {
        let (tag, vr) = self.element;
        if let (tags::SPECIFIC_CHARACTER_SET, Some(TreeLevel::Set { character_set, .. })) =
            (tag, self.open.last_mut())
        {
            *character_set = CharacterSet::declared(&String::from_utf8_lossy(bytes));
        }
        self.add(keyword(tag), plain(vr, bytes, self.order, self.character_set()));
    }

    /// Character set of the innermost data set. A data set that declares none inherits the enclosing one's.
    fn character_set(&self) -> CharacterSet {
        let sets = self.open.iter().rev();
        let mut sets = sets.filter_map(|level| match level {
            TreeLevel::Set { character_set, .. } => Some(*character_set),
            TreeLevel::List { .. } => None,
        });
        sets.next().unwrap_or_default()
    }

    fn begin(&mut self, level: TreeLevel) -> Result<(), DataSetError> {
        if self.open.len() > LEVELS_MAX {
            return Err(DataSetError::Damaged(format!("sequences are nested more than {LEVELS_MAX} deep")));
        }
        self.open.push(level);
        Ok(())
    }

    fn end(&mut self) {
        self.in_pixels = false;
        match self.open.pop() {
            Some(TreeLevel::Set { elements, .. }) => self.add_part(Value::Map(elements)),
            Some(TreeLevel::List { keyword, parts }) => self.add(keyword, Value::Array(parts)),
            None => {}
        }
    }

    fn add(&mut self, keyword: String, value: Value) {
        if let Some(TreeLevel::Set { elements, .. }) = self.open.last_mut() {
            elements.push((Value::from(keyword), value));
        }
    }

    fn add_part(&mut self, value: Value) {
        if let Some(TreeLevel::List { parts, .. }) = self.open.last_mut() {
            parts.push(value);
        }
    }

    fn finish(mut self) -> Vec<(Value, Value)> {
        match self.open.pop() {
            Some(TreeLevel::Set { elements, .. }) => elements,
            _ => Vec::new(),
        }
    }
}

fn keyword(tag: Tag) -> String {
    let entry = StandardDataDictionary.by_tag(tag);
    entry.map_or_else(|| tag.to_string(), |entry| entry.alias().to_owned())
}
