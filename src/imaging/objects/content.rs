//! The content tree of a structured report (PS3.3 C.17.3).

use dicom_core::{DataElement, PrimitiveValue, Tag, VR, value::DataSetSequence};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::CodedConcept;

/// A content item and its children.
#[derive(Clone, Debug)]
pub struct ContentItem {
    concept: CodedConcept,
    content: ContentValue,
    children: Vec<(ContentRelationship, ContentItem)>,
}

#[derive(Clone, Debug)]
enum ContentValue {
    /// A container, with the identifier of its template in PS3.16 if it has one.
    Container(Option<&'static str>),
    Code(CodedConcept),
    Text(String),
    Uid(String),
    /// An image or a segmentation object: class and instance, and the number of a segment of it.
    Image([String; 2], Option<u16>),
    /// A number as it is written, at most 16 characters, and its unit.
    Number(String, CodedConcept),
}

/// The relationship of an item to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRelationship {
    Contains,
    HasContext,
    HasModifier,
    HasProperties,
}

impl ContentItem {
    pub fn container(concept: impl Into<CodedConcept>) -> ContentItem {
        ContentItem::new(concept, ContentValue::Container(None))
    }

    pub fn template(concept: impl Into<CodedConcept>, template: &'static str) -> ContentItem {
        ContentItem::new(concept, ContentValue::Container(Some(template)))
    }

    pub fn code(concept: impl Into<CodedConcept>, value: impl Into<CodedConcept>) -> ContentItem {
        ContentItem::new(concept, ContentValue::Code(value.into()))
    }

    pub fn text(concept: impl Into<CodedConcept>, text: impl Into<String>) -> ContentItem {
        ContentItem::new(concept, ContentValue::Text(text.into()))
    }

    pub fn uid(concept: impl Into<CodedConcept>, uid: impl Into<String>) -> ContentItem {
        ContentItem::new(concept, ContentValue::Uid(uid.into()))
    }

    /// An image by its SOP Class UID and SOP Instance UID.
    pub fn image(concept: impl Into<CodedConcept>, object: [&str; 2]) -> ContentItem {
        ContentItem::new(concept, ContentValue::Image(object.map(str::to_owned), None))
    }

    /// A segment of a segmentation object, which is given as an image is.
    pub fn segment(concept: impl Into<CodedConcept>, object: [&str; 2], number: u16) -> ContentItem {
        ContentItem::new(concept, ContentValue::Image(object.map(str::to_owned), Some(number)))
    }

    pub fn number(
        concept: impl Into<CodedConcept>,
        number: f64,
        decimals: usize,
        unit: impl Into<CodedConcept>,
    ) -> ContentItem {
        ContentItem::new(concept, ContentValue::Number(format!("{number:.decimals$}"), unit.into()))
    }

    #[must_use]
    pub fn with(mut self, relationship: ContentRelationship, child: ContentItem) -> ContentItem {
        self.children.push((relationship, child));
        self
    }

    pub fn contains(self, child: ContentItem) -> ContentItem {
        self.with(ContentRelationship::Contains, child)
    }

    pub fn contains_all(self, children: impl IntoIterator<Item = ContentItem>) -> ContentItem {
        children.into_iter().fold(self, ContentItem::contains)
    }

    fn new(concept: impl Into<CodedConcept>, content: ContentValue) -> ContentItem {
        ContentItem { concept: concept.into(), content, children: Vec::new() }
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

impl ContentValue {
    fn value_type(&self) -> &'static str {
        match self {
            ContentValue::Container(_) => "CONTAINER",
            ContentValue::Code(_) => "CODE",
            ContentValue::Text(_) => "TEXT",
            ContentValue::Uid(_) => "UIDREF",
            ContentValue::Image(..) => "IMAGE",
            ContentValue::Number(..) => "NUM",
        }
    }

    fn put_into(&self, set: &mut InMemDicomObject) {
        match self {
            ContentValue::Container(template) => {
                put(set, tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
                if let Some(template) = template {
                    let mut item = InMemDicomObject::new_empty();
                    put(&mut item, tags::MAPPING_RESOURCE, VR::CS, "DCMR");
                    put(&mut item, tags::TEMPLATE_IDENTIFIER, VR::CS, template);
                    put_items(set, tags::CONTENT_TEMPLATE_SEQUENCE, vec![item]);
                }
            }
            ContentValue::Code(code) => {
                set.put(code.element(tags::CONCEPT_CODE_SEQUENCE));
            }
            ContentValue::Text(text) => put(set, tags::TEXT_VALUE, VR::UT, text),
            ContentValue::Uid(uid) => put(set, tags::UID, VR::UI, uid),
            ContentValue::Image([class, instance], segment) => {
                let mut item = InMemDicomObject::new_empty();
                put(&mut item, tags::REFERENCED_SOP_CLASS_UID, VR::UI, class);
                put(&mut item, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance);
                if let Some(number) = segment {
                    let number = PrimitiveValue::from(*number);
                    item.put(DataElement::new(tags::REFERENCED_SEGMENT_NUMBER, VR::US, number));
                }
                put_items(set, tags::REFERENCED_SOP_SEQUENCE, vec![item]);
            }
            ContentValue::Number(number, unit) => {
                let mut item = InMemDicomObject::new_empty();
                put(&mut item, tags::NUMERIC_VALUE, VR::DS, number);
                item.put(unit.element(tags::MEASUREMENT_UNITS_CODE_SEQUENCE));
                put_items(set, tags::MEASURED_VALUE_SEQUENCE, vec![item]);
            }
        }
    }
}

impl ContentRelationship {
    fn defined_term(self) -> &'static str {
        match self {
            ContentRelationship::Contains => "CONTAINS",
            ContentRelationship::HasContext => "HAS OBS CONTEXT",
            ContentRelationship::HasModifier => "HAS CONCEPT MOD",
            ContentRelationship::HasProperties => "HAS PROPERTIES",
        }
    }
}

pub fn put(set: &mut InMemDicomObject, tag: Tag, vr: VR, text: &str) {
    set.put(DataElement::new(tag, vr, text));
}

pub fn put_items(set: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    set.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}
