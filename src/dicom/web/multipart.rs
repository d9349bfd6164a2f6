//! Bodies of several parts (RFC 2046 5.1), read as they come, in pieces of any size.
//!
//! No input or output here: chunks go in, pieces come out. Memory is one header block, at most 16 KiB,
//! and time is linear, whatever comes: a delimiter begins with the only CR or LF of its kind that it has, so one
//! that turns out to be none need never be looked at twice. Lines end with CR LF, or all of them with LF alone as
//! some senders write them: the line of the first boundary tells.

use memchr::{memmem, memrchr};

use super::media_type::MediaType;

/// Reads one body.
pub struct MultipartReader {
    /// The delimiter between parts: the end of a line, two dashes, and the boundary.
    delimiter: Vec<u8>,
    finder: memmem::Finder<'static>,
    line_end: LineEnd,
    state: MultipartState,
}

/// A piece of a multipart body, as the parser gives it.
#[derive(Debug, PartialEq, Eq)]
pub enum MultipartPiece<'a> {
    /// A part begins.
    Head(PartHead),
    /// Bytes of the part.
    Bytes(&'a [u8]),
    /// The part is whole.
    End,
}

/// The header fields of a part, names in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    fields: Vec<(String, String)>,
}

/// Reason why a body cannot be read further. All parts before its last `Head` are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    #[error("its media type names no boundary that can be read")]
    NoBoundary,
    #[error("a boundary is followed by other text")]
    Boundary,
    #[error("the header of a part has more than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("a header field of a part cannot be read")]
    Head,
    #[error("it ends before its last boundary")]
    CutOff,
}

#[derive(Debug)]
enum MultipartState {
    /// Before the first boundary, or in a part. `matched` bytes of the delimiter have been seen, the first
    /// `borrowed` of which are not part of the content.
    Content {
        of_part: bool,
        matched: usize,
        borrowed: usize,
    },
    /// After a boundary: the rest of its line so far.
    Line(Vec<u8>),
    /// In the header of a part.
    Head(Vec<u8>),
    /// Behind the last boundary.
    Epilogue,
    Malformed(MultipartError),
}

/// The standard has 70; Orthanc writes longer ones.
const BOUNDARY_BYTES_MAX: usize = 1 << 10;

const HEAD_BYTES_MAX: usize = 16 << 10;

/// Most blanks accepted after a boundary. Known senders write none.
const PADDING_BYTES_MAX: usize = 128;

/// The end of the lines of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    /// Before the line of the first boundary has been read.
    Unknown,
    CrLf,
    Lf,
}

impl LineEnd {
    /// The line end that belongs to the delimiter. Before the first boundary, and before that of a part without
    /// content, this line end was read before the content began. These bytes are counted as `borrowed`, and are
    /// never given out as content.
    fn of_delimiter(self) -> &'static [u8] {
        match self {
            LineEnd::CrLf => b"\r\n",
            LineEnd::Unknown | LineEnd::Lf => b"\n",
        }
    }
}

impl MultipartReader {
    /// Reads the body of this media type.
    ///
    /// # Errors
    /// If it names no boundary.
    pub fn of(media_type: &MediaType) -> Result<MultipartReader, MultipartError> {
        let boundary = media_type.parameter("boundary").unwrap_or_default().trim_end().as_bytes();
        let allowed = |byte: &u8| (b' '..=b'~').contains(byte);
        if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX || !boundary.iter().all(allowed) {
            return Err(MultipartError::NoBoundary);
        }
        let line_end = LineEnd::Unknown;
        let delimiter = [line_end.of_delimiter(), b"--", boundary].concat();
        let finder = memmem::Finder::new(&delimiter).into_owned();
        Ok(MultipartReader { delimiter, finder, line_end, state: content(false, line_end) })
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// If they cannot belong to a multipart body. Nothing is taken afterwards.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(MultipartPiece),
    ) -> Result<(), MultipartError> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                MultipartState::Content { .. } => Ok(self.content(bytes, take)),
                MultipartState::Line(_) => self.line(bytes),
                MultipartState::Head(_) => self.head(bytes, take),
                MultipartState::Epilogue => return Ok(()),
                MultipartState::Malformed(malformed) => Err(*malformed),
            };
            match taken {
                Ok(taken) => bytes = &bytes[taken..],
                Err(malformed) => {
                    self.state = MultipartState::Malformed(malformed);
                    return Err(malformed);
                }
            }
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// If its last boundary is missing.
    pub fn end(self) -> Result<(), MultipartError> {
        match self.state {
            MultipartState::Epilogue => Ok(()),
            MultipartState::Malformed(malformed) => Err(malformed),
            _ => Err(MultipartError::CutOff),
        }
    }

    /// Takes bytes of a part, up to the delimiter at most.
    fn content(&mut self, bytes: &[u8], take: &mut dyn FnMut(MultipartPiece)) -> usize {
        let MultipartState::Content { of_part, matched, borrowed } = self.state else { return 0 };
        let mut give = |bytes: &[u8]| {
            if of_part && !bytes.is_empty() {
                take(MultipartPiece::Bytes(bytes));
            }
        };
        if matched > 0 {
            let wanted = &self.delimiter[matched..];
            let more = bytes.iter().zip(wanted).take_while(|(one, other)| one == other).count();
            if more < wanted.len() && more < bytes.len() {
                // The bytes were no delimiter, and no other can have begun within them.
                give(&self.delimiter[borrowed..matched + more]);
                self.state = MultipartState::Content { of_part, matched: 0, borrowed: 0 };
            } else if more < wanted.len() {
                self.state = MultipartState::Content { of_part, matched: matched + more, borrowed };
            } else {
                self.delimited(of_part, take);
            }
            return more;
        }
        if let Some(at) = self.finder.find(bytes) {
            give(&bytes[..at]);
            self.delimited(of_part, take);
            return at + self.delimiter.len();
        }
        let begun = memrchr(self.delimiter[0], bytes).filter(|at| self.delimiter.starts_with(&bytes[*at..]));
        let matched = begun.map_or(0, |at| bytes.len() - at);
        give(&bytes[..bytes.len() - matched]);
        self.state = MultipartState::Content { of_part, matched, borrowed: 0 };
        bytes.len()
    }

    fn delimited(&mut self, of_part: bool, take: &mut dyn FnMut(MultipartPiece)) {
        if of_part {
            take(MultipartPiece::End);
        }
        self.state = MultipartState::Line(Vec::new());
    }

    /// Takes the rest of a boundary's line: two dashes if it was the last one, or blanks and a line end.
    fn line(&mut self, bytes: &[u8]) -> Result<usize, MultipartError> {
        let MultipartState::Line(line) = &mut self.state else { return Ok(0) };
        line.push(bytes[0]);
        match line.as_slice() {
            b"--" => self.state = MultipartState::Epilogue,
            [padding @ .., b'\r', b'\n'] if is_blank(padding) => self.begin_head(LineEnd::CrLf),
            [padding @ .., b'\n'] if is_blank(padding) => self.begin_head(LineEnd::Lf),
            b"-" => {}
            [padding @ .., b'\r'] | padding if is_blank(padding) && padding.len() <= PADDING_BYTES_MAX => {}
            _ => return Err(MultipartError::Boundary),
        }
        Ok(1)
    }

    /// Begins with the header of a part, after a boundary's line with this end. The first one tells that of all.
    fn begin_head(&mut self, line_end: LineEnd) {
        self.state = MultipartState::Head(Vec::new());
        if self.line_end == LineEnd::Unknown {
            let boundary = self.delimiter.split_off(self.line_end.of_delimiter().len());
            self.line_end = line_end;
            self.delimiter = [line_end.of_delimiter(), &boundary].concat();
            self.finder = memmem::Finder::new(&self.delimiter).into_owned();
        }
    }

    /// Takes bytes of a part's header, up to the empty line at its end.
    fn head(&mut self, bytes: &[u8], take: &mut dyn FnMut(MultipartPiece)) -> Result<usize, MultipartError> {
        let MultipartState::Head(head) = &mut self.state else { return Ok(0) };
        for (index, byte) in bytes.iter().enumerate() {
            head.push(*byte);
            let is_empty = matches!(head.as_slice(), b"\n" | b"\r\n");
            if is_empty || head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") {
                take(MultipartPiece::Head(PartHead::read(head).ok_or(MultipartError::Head)?));
                self.state = content(true, self.line_end);
                return Ok(index + 1);
            }
            if head.len() >= HEAD_BYTES_MAX {
                return Err(MultipartError::HeadTooLong);
            }
        }
        Ok(bytes.len())
    }
}

/// The state at the beginning of the body, or of a part.
fn content(of_part: bool, line_end: LineEnd) -> MultipartState {
    let borrowed = line_end.of_delimiter().len();
    MultipartState::Content { of_part, matched: borrowed, borrowed }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

impl PartHead {
    /// The value of a field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn read(bytes: &[u8]) -> Option<PartHead> {
        let text = String::from_utf8_lossy(bytes);
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match (line.split_once(':'), fields.last_mut()) {
                // A line that begins with a blank continues the one before it.
                (_, Some((_, value))) if line.starts_with([' ', '\t']) => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                (Some((name, value)), _) => {
                    fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                }
                (None, _) => return None,
            }
        }
        Some(PartHead { fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts = Vec<(PartHead, Vec<u8>, bool)>;

    fn multipart(boundary: &str) -> MultipartReader {
        let media_type = format!("multipart/related; boundary=\"{boundary}\"");
        MultipartReader::of(&MediaType::read(&media_type).unwrap()).unwrap()
    }

    /// The parts, whether each is whole, and how it ended, with chunks of one size.
    fn read(body: &[u8], chunk: usize) -> (Parts, Result<(), MultipartError>) {
        let mut multipart = multipart("=_b");
        let mut parts = Parts::new();
        let mut take = |piece: MultipartPiece| match piece {
            MultipartPiece::Head(head) => parts.push((head, Vec::new(), false)),
            MultipartPiece::Bytes(bytes) => parts.last_mut().unwrap().1.extend_from_slice(bytes),
            MultipartPiece::End => parts.last_mut().unwrap().2 = true,
        };
        let pushed = body.chunks(chunk).try_for_each(|bytes| multipart.push(bytes, &mut take));
        let end = pushed.and_then(|()| multipart.end());
        (parts, end)
    }

    /// The contents of the parts, which must be the same for all sizes of chunks.
    fn contents(body: &[u8]) -> Vec<Vec<u8>> {
        let (parts, end) = read(body, body.len());
        assert_eq!(end, Ok(()));
        for chunk in 1..body.len() {
            assert_eq!(read(body, chunk).0, parts, "chunks of {chunk}");
        }
        assert!(parts.iter().all(|(_, _, whole)| *whole));
        parts.into_iter().map(|(_, content, _)| content).collect()
    }

    #[test]
    fn parts_are_found_however_the_body_is_cut() {
        let body = b"a preamble\r\n--=_b \t\r\nContent-Type: application/dicom\r\n\r\none\r\n--=_b\r\n\r\n\r\ntwo\r\n\r\n\
            --=_b\r\nX: y\r\n\r\n\r\n--=_b--\r\nan epilogue --=_b\r\n";
        assert_eq!(contents(body), [b"one".as_slice(), b"\r\ntwo\r\n", b""]);
    }

    #[test]
    fn a_part_may_lack_content_and_the_body_a_preamble() {
        assert_eq!(contents(b"--=_b\r\nX: y\r\n\r\n--=_b\r\n\r\n--=_b--"), [b"".as_slice(), b""]);
        assert_eq!(contents(b"--=_b--"), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn lines_may_all_end_with_a_line_feed_alone() {
        let body = b"a preamble\n--=_b\nContent-Type: application/dicom\n\none\r\n--=_b\n\n\n\ntwo\n\n--=_b\nX: y\n\n\n\
            --=_b--\nan epilogue";
        assert_eq!(contents(body), [b"one\r".as_slice(), b"\n\ntwo\n", b""]);
        let (parts, _) = read(body, 5);
        assert_eq!(parts[0].0.field("content-type"), Some("application/dicom"));
    }

    #[test]
    fn what_looks_like_a_boundary_is_content() {
        let content = b"\r\n-\r\r\n--=_\r\n--=_\r\n\r--=_b\n--=_b\r\r\n--\r\n--=c";
        let body = [b"--=_b\r\n\r\n".as_slice(), content, b"\r\n--=_b--"].concat();
        assert_eq!(contents(&body), [content]);
        let beginning = b"--=_c";
        let body = [b"--=_b\r\n\r\n".as_slice(), beginning, b"\r\n--=_b--"].concat();
        assert_eq!(contents(&body), [beginning]);
    }

    #[test]
    fn header_fields_are_read() {
        let body =
            b"--=_b\r\nContent-TYPE : application/dicom;\r\n transfer-syntax=1.2\r\nA:\r\n\r\n\r\n--=_b--";
        let (parts, _) = read(body, 7);
        let head = &parts[0].0;
        assert_eq!(head.field("content-type"), Some("application/dicom; transfer-syntax=1.2"));
        assert_eq!((head.field("a"), head.field("b")), (Some(""), None));
    }

    #[test]
    fn what_is_cut_off_is_not_whole() {
        let body = b"--=_b\r\n\r\none\r\n--=_b\r\n\r\ntwo\r\n--=_b-";
        for length in 0..body.len() {
            assert_eq!(read(&body[..length], 5).1, Err(MultipartError::CutOff), "{length} bytes");
        }
        let (parts, _) = read(&body[..body.len() - 10], 5);
        assert_eq!(parts.iter().map(|part| part.2).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn what_is_malformed_stays_so() {
        for (body, malformed) in [
            (b"--=_bc\r\n".to_vec(), MultipartError::Boundary),
            (b"--=_b\r\r\n".to_vec(), MultipartError::Boundary),
            ([b"--=_b".as_slice(), &[b' '; 200]].concat(), MultipartError::Boundary),
            (b"--=_b\r\nno colon\r\n\r\n".to_vec(), MultipartError::Head),
            ([b"--=_b\r\nX: ".as_slice(), &[b'x'; HEAD_BYTES_MAX]].concat(), MultipartError::HeadTooLong),
        ] {
            let mut multipart = multipart("=_b");
            assert_eq!(multipart.push(&body, &mut |piece| panic!("{piece:?}")), Err(malformed));
            assert_eq!(multipart.push(b"\r\n--=_b--", &mut |_| {}), Err(malformed));
            assert_eq!(multipart.end(), Err(malformed));
        }
    }

    #[test]
    fn chunks_make_no_difference_to_any_body() {
        const TOKENS: [&[u8]; 10] =
            [b"\r\n--=_b\r\n\r\n", b"--=_b", b"\r\n--=_b", b"\r\n", b"\r", b"\n", b"--", b"-", b"x: y", b" "];
        let mut seed = 7_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let mut whole_parts = 0;
        for _ in 0..20_000 {
            let body: Vec<u8> = (0..random(24)).flat_map(|_| TOKENS[random(TOKENS.len())]).copied().collect();
            let at_once = read(&body, body.len().max(1));
            assert_eq!(read(&body, 1 + random(4)), at_once, "{:?}", String::from_utf8_lossy(&body));
            whole_parts += at_once.0.iter().filter(|part| part.2).count();
        }
        assert!(whole_parts > 500, "only {whole_parts} parts were whole");
    }

    #[test]
    fn a_boundary_must_be_one() {
        for wrong in ["multipart/related", "a/b; boundary=\"\"", "a/b; boundary=\"a\rb\"", "a/b; boundary=ä"]
        {
            let media_type = MediaType::read(wrong).unwrap_or_default();
            assert!(MultipartReader::of(&media_type).is_err(), "{wrong}");
        }
        let long = MediaType::read(&format!("a/b; boundary={}", "x".repeat(BOUNDARY_BYTES_MAX + 1))).unwrap();
        assert!(MultipartReader::of(&long).is_err());
    }
}
