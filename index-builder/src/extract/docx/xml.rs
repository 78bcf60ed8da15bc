//! The little of XML that Office parts need: local names, attributes, entity references.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::extract::Refusal;

/// The value of the attribute with this local name, whatever its prefix.
pub(super) fn attribute(element: &BytesStart<'_>, local_name: &str) -> Option<String> {
    let found =
        element.attributes().with_checks(false).flatten().find(|found| found.key.local_name().into_inner() == local_name)?;
    found.normalized_value(XmlVersion::Implicit1_0).ok().map(Cow::into_owned)
}

/// The `val` of an element, as most properties have it.
pub(super) fn val(element: &BytesStart<'_>) -> Option<String> {
    attribute(element, "val")
}

/// The `val` of an element as a number.
pub(super) fn number<T: std::str::FromStr>(element: &BytesStart<'_>) -> Option<T> {
    val(element)?.parse().ok()
}

/// What an entity or character reference stands for; unknown entities are nothing, as no document type is read.
pub(super) fn resolved(reference: &BytesRef<'_>) -> String {
    match reference.resolve_char_ref() {
        Ok(Some(char)) => char.to_string(),
        _ => resolve_predefined_entity(reference).unwrap_or_default().to_owned(),
    }
}

/// Whether an element says nothing with all that it holds: the second choice of a text box, what was deleted or moved away, ruby,
/// and properties as they were before.
pub(super) fn is_left_out(name: &str) -> bool {
    matches!(name, "Fallback" | "del" | "moveFrom" | "rt" | "instrText" | "delText" | "sdtPr") || name.ends_with("PrChange")
}

/// Walks a part: each event, with the reader to skip ahead, until the end or until `visit` refuses.
pub(super) fn walk<'x>(
    part: &str,
    xml: &'x str,
    mut visit: impl FnMut(&mut Reader<&'x [u8]>, Event<'x>) -> Result<(), quick_xml::Error>,
) -> Result<(), Refusal> {
    let mut reader = Reader::from_str(xml);
    // `<a/>` is as good as `<a></a>`: one kind of event less.
    reader.config_mut().expand_empty_elements = true;
    let mut step = || -> Result<bool, quick_xml::Error> {
        match reader.read_event()? {
            Event::Eof => Ok(false),
            event => visit(&mut reader, event).map(|()| true),
        }
    };
    loop {
        match step() {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(cause) => return Err(Refusal::damaged(format_args!("`{part}`: {cause}"))),
        }
    }
}
