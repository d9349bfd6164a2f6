//! YAML text as a tree in which each value knows its place.
//!
//! The tree is made from the parser's events, so that a key that occurs twice is found. Maps, lists and
//! scalars in one document are allowed. Aliases, tags and keys that are not plain words are refused. Nothing
//! recurses, and depth and length are limited.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

use super::collector::{PlacedValue, ProblemCollector, SourcePlace};

pub(crate) type YamlTree = PlacedValue<YamlShape>;
pub(crate) type YamlEntry = (PlacedValue<String>, YamlTree);

#[derive(Clone, Debug)]
pub(crate) enum YamlShape {
    Nothing,
    Scalar(String, ScalarForm),
    List(Vec<YamlTree>),
    Map(Vec<YamlEntry>),
}

/// The way in which a single value is written. Only JSON tells them apart: `1` is a number, `"1"` a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarForm {
    Plain,
    Quoted,
}

impl YamlShape {
    /// The name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            YamlShape::Nothing => "empty",
            YamlShape::Scalar(..) => "a single value",
            YamlShape::List(_) => "a list",
            YamlShape::Map(_) => "a map",
        }
    }
}

const DEPTH_MAX: usize = 16;
const LENGTH_BYTES_MAX: usize = 1 << 20;

/// Reads the text. A syntax error ends the reading and is the only problem noted.
pub(crate) fn read(text: &str, collector: &mut ProblemCollector) -> Option<YamlTree> {
    YamlReader::default().read(text).map_err(|mistake| mistake.note(collector)).ok()
}

/// Reads the text of a file that was added to the collector; its places name the file.
pub(crate) fn read_added(text: &str, file: usize, collector: &mut ProblemCollector) -> Option<YamlTree> {
    let tree = YamlReader::default().read(text);
    let mut tree = tree
        .map_err(|mistake| {
            let place = SourcePlace { file, ..mistake.place };
            YamlMistake { place, ..mistake }.note(collector);
        })
        .ok()?;
    move_to(&mut tree, file);
    Some(tree)
}

/// Sets the file of all places in the tree.
fn move_to(tree: &mut YamlTree, file: usize) {
    tree.place.file = file;
    match &mut tree.value {
        YamlShape::Nothing | YamlShape::Scalar(..) => {}
        YamlShape::List(list) => list.iter_mut().for_each(|one| move_to(one, file)),
        YamlShape::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            key.place.file = file;
            move_to(value, file);
        }),
    }
}

struct YamlMistake {
    place: SourcePlace,
    message: String,
    hint: Option<&'static str>,
}

impl YamlMistake {
    fn note(self, collector: &mut ProblemCollector) {
        collector.add(self.place, self.message).hint(self.hint.map(str::to_owned));
    }
}

#[derive(Default)]
struct YamlReader {
    open: Vec<OpenNode>,
    document: Option<YamlTree>,
}

/// A list or map that has not ended yet.
enum OpenNode {
    List(SourcePlace, Vec<YamlTree>),
    Map(SourcePlace, Vec<YamlEntry>, Option<PlacedValue<String>>),
}

impl YamlReader {
    fn read(mut self, text: &str) -> Result<YamlTree, YamlMistake> {
        if text.len() > LENGTH_BYTES_MAX {
            let message = format!("the file has {} bytes, at most {LENGTH_BYTES_MAX}", text.len());
            return Err(mistake(SourcePlace::START, message, None));
        }
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| syntax(&error))?;
            self.take(event, place(span))?;
        }
        let start = SourcePlace::START;
        Ok(self.document.unwrap_or(PlacedValue { place: start, value: YamlShape::Nothing }))
    }

    fn take(&mut self, event: Event, place: SourcePlace) -> Result<(), YamlMistake> {
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
                let form = if style == ScalarStyle::Plain { ScalarForm::Plain } else { ScalarForm::Quoted };
                let nothing = form == ScalarForm::Plain && matches!(&*text, "" | "~" | "null");
                let scalar = || YamlShape::Scalar(text.into_owned(), form);
                let value = if nothing { YamlShape::Nothing } else { scalar() };
                self.complete(PlacedValue { place, value })
            }
            Event::SequenceStart(_, None) => self.begin(OpenNode::List(place, Vec::new()), place),
            Event::MappingStart(_, None) => self.begin(OpenNode::Map(place, Vec::new(), None), place),
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

    fn begin(&mut self, open: OpenNode, place: SourcePlace) -> Result<(), YamlMistake> {
        if self.open.len() == DEPTH_MAX {
            return Err(mistake(place, format!("this is nested more than {DEPTH_MAX} deep"), None));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlMistake> {
        let tree = match self.open.pop().expect("the parser ends only what it began") {
            OpenNode::List(place, list) => PlacedValue { place, value: YamlShape::List(list) },
            OpenNode::Map(place, entries, _) => PlacedValue { place, value: YamlShape::Map(entries) },
        };
        self.complete(tree)
    }

    fn complete(&mut self, tree: YamlTree) -> Result<(), YamlMistake> {
        match self.open.last_mut() {
            None => self.document = Some(tree),
            Some(OpenNode::List(_, list)) => list.push(tree),
            Some(OpenNode::Map(_, entries, key)) => match key.take() {
                Some(name) => entries.push((name, tree)),
                None => *key = Some(word(tree)?),
            },
        }
        Ok(())
    }
}

fn word(tree: YamlTree) -> Result<PlacedValue<String>, YamlMistake> {
    match tree.value {
        YamlShape::Scalar(value, _) => Ok(PlacedValue { place: tree.place, value }),
        other => Err(mistake(tree.place, format!("a key is a word, this is {}", other.name()), None)),
    }
}

fn mistake(place: SourcePlace, message: impl Into<String>, hint: Option<&'static str>) -> YamlMistake {
    YamlMistake { place, message: message.into(), hint }
}

fn syntax(error: &ScanError) -> YamlMistake {
    let place = SourcePlace { width: 1, ..start(error.marker()) };
    mistake(place, format!("this is not YAML: {}", error.info()), None)
}

fn place(span: Span) -> SourcePlace {
    let width = match span.end.line() == span.start.line() {
        true => span.end.col().saturating_sub(span.start.col()).max(1),
        // A value of several lines: the collector cuts it at the end of the first.
        false => usize::MAX,
    };
    SourcePlace { width, ..start(&span.start) }
}

fn start(marker: &Marker) -> SourcePlace {
    SourcePlace { line: marker.line().max(1), column: marker.col() + 1, ..SourcePlace::START }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let mut collector = ProblemCollector::new("x", text);
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
