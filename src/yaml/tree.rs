//! YAML text parsed to a tree in which every value has its position.
//!
//! The tree is built from the parser's events, so that a repeated key is kept and can be reported. The
//! files may use maps, lists and scalars in one document; anchors, tags and keys that are not plain words
//! are refused. Parsing does not recurse, and depth and length are bounded for any text.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

use super::collector::{Collector, Place, Placed};

pub(crate) type Tree = Placed<Shape>;
pub(crate) type Entry = (Placed<String>, Tree);

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Nothing,
    Scalar(String),
    List(Vec<Tree>),
    Map(Vec<Entry>),
}

impl Shape {
    /// The name of the shape in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Shape::Nothing => "empty",
            Shape::Scalar(_) => "a single value",
            Shape::List(_) => "a list",
            Shape::Map(_) => "a map",
        }
    }
}

const DEPTH_MAX: usize = 16;
const LENGTH_BYTES_MAX: usize = 1 << 20;

/// Parses the text. A syntax error ends the parsing and is the only problem reported.
pub(crate) fn read(text: &str, collector: &mut Collector) -> Option<Tree> {
    Reader::default().read(text).map_err(|mistake| mistake.note(collector)).ok()
}

struct Mistake {
    place: Place,
    message: String,
    hint: Option<&'static str>,
}

impl Mistake {
    fn note(self, collector: &mut Collector) {
        collector.add(self.place, self.message).hint(self.hint.map(str::to_owned));
    }
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    document: Option<Tree>,
}

/// A list or map whose end has not been read yet.
enum Open {
    List(Place, Vec<Tree>),
    Map(Place, Vec<Entry>, Option<Placed<String>>),
}

impl Reader {
    fn read(mut self, text: &str) -> Result<Tree, Mistake> {
        if text.len() > LENGTH_BYTES_MAX {
            let message = format!("the file has {} bytes, at most {LENGTH_BYTES_MAX}", text.len());
            return Err(mistake(Place { line: 1, column: 1, width: 1 }, message, None));
        }
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| syntax(&error))?;
            self.take(event, place(span))?;
        }
        let start = Place { line: 1, column: 1, width: 1 };
        Ok(self.document.unwrap_or(Placed { place: start, value: Shape::Nothing }))
    }

    fn take(&mut self, event: Event, place: Place) -> Result<(), Mistake> {
        match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                Err(mistake(place, "a file here has no tags (!)", Some("take the tag away")))
            }
            Event::Alias(_) => {
                let hint = Some("write the value out where it is needed");
                Err(mistake(place, "a file here has no aliases (*)", hint))
            }
            Event::Scalar(text, style, _, None) => {
                let nothing = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                let value = if nothing { Shape::Nothing } else { Shape::Scalar(text.into_owned()) };
                self.complete(Placed { place, value })
            }
            Event::SequenceStart(_, None) => self.begin(Open::List(place, Vec::new()), place),
            Event::MappingStart(_, None) => self.begin(Open::Map(place, Vec::new(), None), place),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::DocumentStart(_) if self.document.is_some() => {
                let hint = Some("keep what it says in a file of its own");
                Err(mistake(place, "a second document begins here", hint))
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, place: Place) -> Result<(), Mistake> {
        if self.open.len() == DEPTH_MAX {
            return Err(mistake(place, format!("this is nested more than {DEPTH_MAX} deep"), None));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Mistake> {
        let tree = match self.open.pop().expect("the parser ends only what it began") {
            Open::List(place, list) => Placed { place, value: Shape::List(list) },
            Open::Map(place, entries, _) => Placed { place, value: Shape::Map(entries) },
        };
        self.complete(tree)
    }

    fn complete(&mut self, tree: Tree) -> Result<(), Mistake> {
        match self.open.last_mut() {
            None => self.document = Some(tree),
            Some(Open::List(_, list)) => list.push(tree),
            Some(Open::Map(_, entries, key)) => match key.take() {
                Some(name) => entries.push((name, tree)),
                None => *key = Some(word(tree)?),
            },
        }
        Ok(())
    }
}

fn word(tree: Tree) -> Result<Placed<String>, Mistake> {
    match tree.value {
        Shape::Scalar(value) => Ok(Placed { place: tree.place, value }),
        other => Err(mistake(tree.place, format!("a key is a word, this is {}", other.name()), None)),
    }
}

fn mistake(place: Place, message: impl Into<String>, hint: Option<&'static str>) -> Mistake {
    Mistake { place, message: message.into(), hint }
}

fn syntax(error: &ScanError) -> Mistake {
    let place = Place { width: 1, ..start(error.marker()) };
    mistake(place, format!("this is not YAML: {}", error.info()), None)
}

fn place(span: Span) -> Place {
    let width = match span.end.line() == span.start.line() {
        true => span.end.col().saturating_sub(span.start.col()).max(1),
        // A value of several lines: the collector ends the range at the end of the first line.
        false => usize::MAX,
    };
    Place { width, ..start(&span.start) }
}

fn start(marker: &Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1, width: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let mut collector = Collector::new("x", text);
        assert!(read(text, &mut collector).is_none());
        collector.finish::<()>(None).unwrap_err().iter().next().unwrap().message.clone()
    }

    #[test]
    fn depth_and_length_are_bounded() {
        assert_eq!(problem(&"[".repeat(100)), "this is nested more than 16 deep");
        assert_eq!(problem(&"- ".repeat(100_000)), "this is nested more than 16 deep");
        assert_eq!(problem(&"[".repeat(100_000)), "this is not YAML: recursion limit exceeded");
        let long = "#".repeat(LENGTH_BYTES_MAX + 1);
        assert_eq!(problem(&long), "the file has 1048577 bytes, at most 1048576");
    }
}
