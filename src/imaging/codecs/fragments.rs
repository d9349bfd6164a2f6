//! Encapsulated pixel data (PS3.5 A.4): splits the items into the compressed bytes of each frame.
//!
//! The Extended Offset Table says which fragments belong to a frame, or else the Basic Offset Table. Without
//! a table, a single frame has all fragments, and as many fragments as frames are one frame each. Otherwise
//! each frame ends with the fragment in which its code stream ends.

use std::borrow::Cow;

use dicom_dictionary_std::{tags, uids};

use super::{DecodeError, PixelLayout};
use crate::imaging::elements::HeaderElements;
use crate::printable::counted;

const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const ITEM_HEAD_BYTES: usize = 8;

/// The end of a JPEG, JPEG-LS (EOI) and JPEG 2000 (EOC) code stream.
const END_OF_STREAM: [u8; 2] = [0xFF, 0xD9];

/// The compressed bytes of each frame.
///
/// # Errors
/// If an item is cut off, or the fragments cannot be assigned to so many frames.
pub fn frames<'a>(
    layout: &PixelLayout,
    elements: &HeaderElements,
    items: &'a [u8],
) -> Result<Vec<Cow<'a, [u8]>>, DecodeError> {
    let FragmentItems { offset_table, fragments } = FragmentItems::read(items)?;
    let count = layout.frames;
    if fragments.is_empty() {
        return Err(DecodeError::damaged("there is no fragment with pixels"));
    }
    if fragments.len() < count {
        let found = fragments.len();
        return Err(DecodeError::damaged(format!(
            "the number of fragments is {found}, for {}",
            counted(count, "frame")
        )));
    }
    if count == 1 {
        return Ok(vec![joined(&fragments)]);
    }
    let tables = [offsets(elements.bytes(tags::EXTENDED_OFFSET_TABLE)), short_offsets(offset_table)];
    let by_table = tables.iter().find_map(|table| starts(table, &fragments, count));
    let starts = by_table
        .or_else(|| (fragments.len() == count).then(|| (0..count).collect()))
        .or_else(|| starts_by_ends(layout, &fragments, count))
        .ok_or_else(|| {
            let found = fragments.len();
            DecodeError::damaged(format!(
                "{found} fragments cannot be told apart into {}",
                counted(count, "frame")
            ))
        })?;
    let ends = starts[1..].iter().copied().chain([fragments.len()]);
    Ok(starts.iter().zip(ends).map(|(start, end)| joined(&fragments[*start..end])).collect())
}

/// A fragment, and the offset of its item from the first fragment's item.
struct PixelFragment<'a> {
    offset: u64,
    bytes: &'a [u8],
}

struct FragmentItems<'a> {
    offset_table: &'a [u8],
    fragments: Vec<PixelFragment<'a>>,
}

impl<'a> FragmentItems<'a> {
    fn read(items: &'a [u8]) -> Result<FragmentItems<'a>, DecodeError> {
        let mut rest = items;
        let mut found: Vec<&[u8]> = Vec::new();
        while let Some((head, after)) = rest.split_first_chunk::<ITEM_HEAD_BYTES>() {
            let [tag @ .., a, b, c, d] = head;
            let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            if *tag != ITEM {
                break;
            }
            let Some((bytes, after)) = after.split_at_checked(length) else {
                let [index, left] = [found.len(), after.len()];
                return Err(DecodeError::damaged(format!(
                    "fragment {index} is cut off: {length} bytes declared, {left} left"
                )));
            };
            found.push(bytes);
            rest = after;
        }
        let (offset_table, fragments) = found.split_first().map_or((&[][..], &[][..]), |(a, b)| (*a, b));
        let offset = |end: &mut u64, bytes: &'a [u8]| {
            let offset = *end;
            *end += (bytes.len() + ITEM_HEAD_BYTES) as u64;
            Some(PixelFragment { offset, bytes })
        };
        let fragments = fragments.iter().copied().scan(0, |end, bytes| offset(end, bytes)).collect();
        Ok(FragmentItems { offset_table, fragments })
    }
}

fn joined<'a>(fragments: &[PixelFragment<'a>]) -> Cow<'a, [u8]> {
    match fragments {
        [only] => Cow::Borrowed(only.bytes),
        several => Cow::Owned(several.iter().flat_map(|fragment| fragment.bytes).copied().collect()),
    }
}

fn offsets(table: &[u8]) -> Vec<u64> {
    table.as_chunks().0.iter().map(|offset| u64::from_le_bytes(*offset)).collect()
}

fn short_offsets(table: &[u8]) -> Vec<u64> {
    table.as_chunks().0.iter().map(|offset| u64::from(u32::from_le_bytes(*offset))).collect()
}

/// The first fragment of each frame by an offset table; `None` if the table does not match these fragments.
fn starts(table: &[u64], fragments: &[PixelFragment], count: usize) -> Option<Vec<usize>> {
    let find = |offset: &u64| fragments.binary_search_by_key(offset, |fragment| fragment.offset).ok();
    let starts: Vec<usize> = table.iter().map(find).collect::<Option<_>>()?;
    let rises = starts.is_sorted_by(|a, b| a < b) && starts.first() == Some(&0);
    (rises && starts.len() == count).then_some(starts)
}

/// The first fragment of each frame, each but the first following a fragment that ends a code stream; `None`
/// if their number is not that of the frames. RLE has no end marker.
fn starts_by_ends(layout: &PixelLayout, fragments: &[PixelFragment], count: usize) -> Option<Vec<usize>> {
    if layout.transfer_syntax_uid == uids::RLE_LOSSLESS {
        return None;
    }
    let ends = |fragment: &PixelFragment| {
        let bytes = fragment.bytes;
        bytes.strip_suffix(&[0]).unwrap_or(bytes).ends_with(&END_OF_STREAM)
    };
    let begins = |index: &usize| *index == 0 || ends(&fragments[index - 1]);
    let starts: Vec<usize> = (0..fragments.len()).filter(begins).collect();
    (starts.len() == count).then_some(starts)
}
