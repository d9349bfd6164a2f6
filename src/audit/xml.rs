//! XML elements with attributes, written as one line of XML 1.0. The output is well formed for any text.

use std::fmt::{self, Write};

use super::code::AuditCode;

pub struct XmlElement {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: String,
    children: Vec<XmlElement>,
}

impl XmlElement {
    pub fn new(name: &'static str) -> XmlElement {
        XmlElement { name, attributes: Vec::new(), text: String::new(), children: Vec::new() }
    }

    /// A coded value (PS3.15 A.5.1: `CodedValueType`).
    pub fn code(name: &'static str, code: AuditCode) -> XmlElement {
        let AuditCode { value, system, meaning } = code;
        XmlElement::new(name)
            .with("csd-code", value)
            .with("codeSystemName", system)
            .with("originalText", meaning)
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> XmlElement {
        self.attributes.push((name, value.into()));
        self
    }

    /// Adds an attribute, unless its value is empty.
    pub fn with_given(self, name: &'static str, value: &str) -> XmlElement {
        if value.is_empty() { self } else { self.with(name, value) }
    }

    pub fn says(mut self, text: impl Into<String>) -> XmlElement {
        self.text = text.into();
        self
    }

    pub fn holds(mut self, children: impl IntoIterator<Item = XmlElement>) -> XmlElement {
        self.children.extend(children);
        self
    }
}

impl fmt::Display for XmlElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        write!(f, "<{name}")?;
        for (name, value) in &self.attributes {
            write!(f, " {name}=\"{}\"", EscapedText(value))?;
        }
        if self.text.is_empty() && self.children.is_empty() {
            return f.write_str("/>");
        }
        write!(f, ">{}", EscapedText(&self.text))?;
        self.children.iter().try_for_each(|child| write!(f, "{child}"))?;
        write!(f, "</{name}>")
    }
}

struct EscapedText<'a>(&'a str);

impl fmt::Display for EscapedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            // Unescaped, these become spaces in an attribute and may end a syslog message.
            '\t' | '\n' | '\r' => write!(f, "&#{};", letter as u32),
            // XML 1.0 cannot represent these characters.
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => f.write_char(char::REPLACEMENT_CHARACTER),
            _ => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_said_stays_text() {
        let hostile = "\"/><Evil a='1'>&amp;\n\0\u{1b}\u{ffff}]]>山";
        let element = XmlElement::new("A").with("b", hostile).says(hostile).holds([XmlElement::new("C")]);
        let escaped = "&quot;/&gt;&lt;Evil a='1'&gt;&amp;amp;&#10;\u{fffd}\u{fffd}\u{fffd}]]&gt;山";
        assert_eq!(element.to_string(), format!("<A b=\"{escaped}\">{escaped}<C/></A>"));
    }

    #[test]
    fn what_is_not_given_is_left_out() {
        assert_eq!(XmlElement::new("A").with_given("b", "").with_given("c", "1").to_string(), "<A c=\"1\"/>");
    }
}
