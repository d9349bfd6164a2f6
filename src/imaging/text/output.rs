//! Collects decoded text: bytes of one encoding are gathered, and decoded together.

use encoding_rs::Encoding;

pub struct TextOutput {
    text: String,
    /// Bytes of whole characters, not yet decoded.
    bytes: Vec<u8>,
    encoding: &'static Encoding,
}

impl Default for TextOutput {
    fn default() -> TextOutput {
        TextOutput { text: String::new(), bytes: Vec::new(), encoding: encoding_rs::WINDOWS_1252 }
    }
}

impl TextOutput {
    pub fn push(&mut self, encoding: &'static Encoding, sign: &[u8]) {
        if self.encoding != encoding {
            self.flush();
            self.encoding = encoding;
        }
        self.bytes.extend_from_slice(sign);
    }

    /// Adds a byte that is the same in all encodings used here.
    pub fn ascii(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub fn letter(&mut self, letter: char) {
        self.flush();
        self.text.push(letter);
    }

    pub fn unreadable(&mut self) {
        self.letter(char::REPLACEMENT_CHARACTER);
    }

    pub fn finish(mut self) -> String {
        self.flush();
        self.text
    }

    fn flush(&mut self) {
        self.text.push_str(&self.encoding.decode_without_bom_handling(&self.bytes).0);
        self.bytes.clear();
    }
}
