//! A DICOM file as a tree of plain values, so that two can be compared element by element.

use ciborium::Value;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::value::PrimitiveValue;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;
use dicom_parser::dataset::DataToken;
use dicom_parser::dataset::read::ValueReadStrategy;

use super::data_set::{DataSet, Unreadable};

/// More levels of sequences and items are in no file that makes sense.
const LEVELS_MAX: usize = 64;

/// The elements of a DICOM file by keyword, or by tag where the standard has none for it. Sequences are
/// lists, text is text, a number is a number, pixels and other bulk are bytes.
///
/// # Errors
/// If the file cannot be read to its end.
pub fn contents(file: &[u8]) -> Result<Value, Unreadable> {
    let data_set = DataSet::open(file)?;
    let mut tree = Tree::new();
    for token in data_set.tokens(ValueReadStrategy::Preserved)? {
        tree.take(token?)?;
    }
    let syntax = (Value::from("TransferSyntaxUID"), Value::from(data_set.syntax.uid()));
    Ok(Value::Map(std::iter::once(syntax).chain(tree.finish()).collect()))
}

/// A tree as far as it has been read.
struct Tree {
    /// From the outermost to the innermost; the first is the file's own data set.
    open: Vec<Level>,
    /// Whose value comes next.
    element: (Tag, VR),
    /// Fragments of pixels are items without a data set.
    in_pixels: bool,
}

/// What has begun and not ended.
enum Level {
    Set(Vec<(Value, Value)>),
    List { keyword: String, parts: Vec<Value> },
}

impl Tree {
    fn new() -> Tree {
        Tree { open: vec![Level::Set(Vec::new())], element: (Tag(0, 0), VR::UN), in_pixels: false }
    }

    fn take(&mut self, token: DataToken) -> Result<(), Unreadable> {
        match token {
            DataToken::ElementHeader(header) => self.element = (header.tag, header.vr()),
            DataToken::PrimitiveValue(value) => {
                let (tag, vr) = self.element;
                self.add(keyword(tag), plain(vr, &value));
            }
            DataToken::SequenceStart { tag, .. } => {
                self.begin(Level::List { keyword: keyword(tag), parts: Vec::new() })?;
            }
            DataToken::PixelSequenceStart => {
                self.in_pixels = true;
                self.begin(Level::List { keyword: "PixelData".to_owned(), parts: Vec::new() })?;
            }
            DataToken::ItemValue(bytes) => self.add_part(Value::Bytes(bytes)),
            DataToken::OffsetTable(offsets) => {
                self.add_part(offsets.into_iter().map(Value::from).collect::<Vec<_>>().into());
            }
            DataToken::ItemStart { .. } | DataToken::ItemEnd if self.in_pixels => {}
            DataToken::ItemStart { .. } => self.begin(Level::Set(Vec::new()))?,
            DataToken::ItemEnd | DataToken::SequenceEnd => self.end(),
        }
        Ok(())
    }

    fn begin(&mut self, level: Level) -> Result<(), Unreadable> {
        if self.open.len() > LEVELS_MAX {
            return Err(Unreadable::Damaged(format!("sequences are nested more than {LEVELS_MAX} deep")));
        }
        self.open.push(level);
        Ok(())
    }

    fn end(&mut self) {
        self.in_pixels = false;
        match self.open.pop() {
            Some(Level::Set(elements)) => self.add_part(Value::Map(elements)),
            Some(Level::List { keyword, parts }) => self.add(keyword, Value::Array(parts)),
            None => {}
        }
    }

    fn add(&mut self, keyword: String, value: Value) {
        if let Some(Level::Set(elements)) = self.open.last_mut() {
            elements.push((Value::from(keyword), value));
        }
    }

    fn add_part(&mut self, value: Value) {
        if let Some(Level::List { parts, .. }) = self.open.last_mut() {
            parts.push(value);
        }
    }

    fn finish(mut self) -> Vec<(Value, Value)> {
        match self.open.pop() {
            Some(Level::Set(elements)) => elements,
            _ => Vec::new(),
        }
    }
}

fn keyword(tag: Tag) -> String {
    let entry = StandardDataDictionary.by_tag(tag);
    entry.map_or_else(|| tag.to_string(), |entry| entry.alias().to_owned())
}

/// Several values of an element are a list, bulk is bytes, and no value is nothing.
fn plain(vr: VR, value: &PrimitiveValue) -> Value {
    use PrimitiveValue::{
        Date, DateTime, Empty, F32, F64, I16, I32, I64, Str, Strs, Tags, Time, U8, U16, U32, U64,
    };
    if matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN) {
        return Value::Bytes(value.to_bytes().into_owned());
    }
    match value {
        Empty => Value::Null,
        Str(text) => text_of(vr, text),
        Strs(texts) => one_or_list(texts.iter().map(|text| text_of(vr, text))),
        Tags(tags) => one_or_list(tags.iter().map(|tag| Value::from(tag.to_string()))),
        U8(bytes) => Value::Bytes(bytes.to_vec()),
        I16(numbers) => one_or_list(numbers.iter().copied()),
        U16(numbers) => one_or_list(numbers.iter().copied()),
        I32(numbers) => one_or_list(numbers.iter().copied()),
        U32(numbers) => one_or_list(numbers.iter().copied()),
        I64(numbers) => one_or_list(numbers.iter().copied()),
        U64(numbers) => one_or_list(numbers.iter().copied()),
        F32(numbers) => one_or_list(numbers.iter().map(|number| f64::from(*number))),
        F64(numbers) => one_or_list(numbers.iter().copied()),
        Date(_) | DateTime(_) | Time(_) => text_of(vr, &value.to_str()),
    }
}

/// Without its padding; a number where the element is one that is written as text.
fn text_of(vr: VR, text: &str) -> Value {
    let text = text.trim_end_matches([' ', '\0']);
    let number = match vr {
        VR::DS => text.trim().parse::<f64>().ok().map(Value::from),
        VR::IS => text.trim().parse::<i64>().ok().map(Value::from),
        _ => None,
    };
    number.unwrap_or_else(|| Value::from(text))
}

fn one_or_list<T: Into<Value>>(values: impl ExactSizeIterator<Item = T>) -> Value {
    let mut values: Vec<Value> = values.map(Into::into).collect();
    if values.len() == 1 { values.swap_remove(0) } else { Value::Array(values) }
}
