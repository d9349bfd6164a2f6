//! The content tree of a structured report (PS3.3 C.17.3).

use dicom_core::{DataElement, Tag, VR, value::DataSetSequence};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::Code;

/// A content item and its children.
#[derive(Clone, Debug)]
pub struct Node {
    concept: Code,
    content: Content,
    children: Vec<(Relationship, Node)>,
}

#[derive(Clone, Debug)]
enum Content {
    /// A container, with the identifier of its template in PS3.16 if it has one.
    Container(Option<&'static str>),
    Code(Code),
    Text(String),
    Uid(String),
    /// A number as it is written, at most 16 characters, and its unit.
    Number(String, Code),
}

/// The relationship of an item to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relationship {
    Contains,
    HasContext,
    HasModifier,
}

impl Node {
    pub fn container(concept: impl Into<Code>) -> Node {
        Node::new(concept, Content::Container(None))
    }

    pub fn template(concept: impl Into<Code>, template: &'static str) -> Node {
        Node::new(concept, Content::Container(Some(template)))
    }

    pub fn code(concept: impl Into<Code>, value: impl Into<Code>) -> Node {
        Node::new(concept, Content::Code(value.into()))
    }

    pub fn text(concept: impl Into<Code>, text: impl Into<String>) -> Node {
        Node::new(concept, Content::Text(text.into()))
    }

    pub fn uid(concept: impl Into<Code>, uid: impl Into<String>) -> Node {
        Node::new(concept, Content::Uid(uid.into()))
    }

    pub fn number(concept: impl Into<Code>, number: f64, decimals: usize, unit: impl Into<Code>) -> Node {
        Node::new(concept, Content::Number(format!("{number:.decimals$}"), unit.into()))
    }

    #[must_use]
    pub fn with(mut self, relationship: Relationship, child: Node) -> Node {
        self.children.push((relationship, child));
        self
    }

    pub fn contains(self, child: Node) -> Node {
        self.with(Relationship::Contains, child)
    }

    pub fn contains_all(self, children: impl IntoIterator<Item = Node>) -> Node {
        children.into_iter().fold(self, Node::contains)
    }

    fn new(concept: impl Into<Code>, content: Content) -> Node {
        Node { concept: concept.into(), content, children: Vec::new() }
    }

    /// Writes the item's attributes into a data set: the report itself, or an item of its sequence.
    pub fn put_into(&self, set: &mut InMemDicomObject) {
        put(set, tags::VALUE_TYPE, VR::CS, self.content.value_type());
        set.put(self.concept.element(tags::CONCEPT_NAME_CODE_SEQUENCE));
        self.content.put_into(set);
        if !self.children.is_empty() {
            let items = self.children.iter().map(|(relationship, child)| {
                let mut item = InMemDicomObject::new_empty();
                put(&mut item, tags::RELATIONSHIP_TYPE, VR::CS, relationship.defined_term());
                child.put_into(&mut item);
                item
            });
            put_items(set, tags::CONTENT_SEQUENCE, items.collect());
        }
    }
}

impl Content {
    fn value_type(&self) -> &'static str {
        match self {
            Content::Container(_) => "CONTAINER",
            Content::Code(_) => "CODE",
            Content::Text(_) => "TEXT",
            Content::Uid(_) => "UIDREF",
            Content::Number(..) => "NUM",
        }
    }

    fn put_into(&self, set: &mut InMemDicomObject) {
        match self {
            Content::Container(template) => {
                put(set, tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
                if let Some(template) = template {
                    let mut item = InMemDicomObject::new_empty();
                    put(&mut item, tags::MAPPING_RESOURCE, VR::CS, "DCMR");
                    put(&mut item, tags::TEMPLATE_IDENTIFIER, VR::CS, template);
                    put_items(set, tags::CONTENT_TEMPLATE_SEQUENCE, vec![item]);
                }
            }
            Content::Code(code) => {
                set.put(code.element(tags::CONCEPT_CODE_SEQUENCE));
            }
            Content::Text(text) => put(set, tags::TEXT_VALUE, VR::UT, text),
            Content::Uid(uid) => put(set, tags::UID, VR::UI, uid),
            Content::Number(number, unit) => {
                let mut item = InMemDicomObject::new_empty();
                put(&mut item, tags::NUMERIC_VALUE, VR::DS, number);
                item.put(unit.element(tags::MEASUREMENT_UNITS_CODE_SEQUENCE));
                put_items(set, tags::MEASURED_VALUE_SEQUENCE, vec![item]);
            }
        }
    }
}

impl Relationship {
    fn defined_term(self) -> &'static str {
        match self {
            Relationship::Contains => "CONTAINS",
            Relationship::HasContext => "HAS OBS CONTEXT",
            Relationship::HasModifier => "HAS CONCEPT MOD",
        }
    }
}

pub fn put(set: &mut InMemDicomObject, tag: Tag, vr: VR, text: &str) {
    set.put(DataElement::new(tag, vr, text));
}

pub fn put_items(set: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    set.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}
