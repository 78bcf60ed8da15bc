//! HTML, links and code: what of a text is markup.

use std::ops::Range;

/// Bytes of one tag, one address or one title of a link; what is longer is text.
const MAX_TAG_BYTES: usize = 512;

/// Elements that text is marked up with; `<String>` and `<name>` are none of them.
#[rustfmt::skip]
const TAGS: [&str; 58] = [
    "a", "abbr", "article", "b", "blockquote", "body", "br", "center", "cite", "code", "dd", "del", "details", "dfn", "div",
    "dl", "dt", "em", "figcaption", "figure", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li",
    "mark", "ol", "p", "picture", "pre", "q", "s", "samp", "section", "small", "span", "strong", "sub", "summary", "sup",
    "table", "tbody", "td", "th", "thead", "tr", "u", "ul", "var", "wbr",
];

/// What stands between the bracket before `rest` and the next one, if that closes it.
pub(super) fn bracketed(rest: &str) -> Option<&str> {
    let end = rest.bytes().take(MAX_TAG_BYTES).position(|byte| matches!(byte, b'<' | b'>'))?;
    rest[end..].starts_with('>').then(|| &rest[..end])
}

/// Whether that is a tag or a comment.
pub(super) fn is_tag(inside: &str) -> bool {
    let named = inside.trim_matches('/');
    let (name, attributes) = named.split_at(named.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(named.len()));
    let is_known = TAGS.binary_search(&&*name.to_ascii_lowercase()).is_ok();
    inside.starts_with("!--") || is_known && (attributes.trim().is_empty() || attributes.contains('='))
}

/// Whether it is an address that is written as a link.
pub(super) fn is_address(inside: &str) -> bool {
    (inside.contains("://") || inside.contains('@')) && !inside.contains(char::is_whitespace)
}

/// Bytes of where a link leads, from the `(` that `rest` begins with to its `)`: an address, and perhaps a title in quotation
/// marks.
pub(super) fn link_target(rest: &str) -> Option<usize> {
    let address = rest[1..].find(|letter: char| matches!(letter, '(' | ')' | ']') || letter.is_whitespace())?;
    let behind = rest[1 + address..].trim_start();
    let title = match behind.strip_prefix('"') {
        Some(title) => title.bytes().take(MAX_TAG_BYTES).position(|byte| byte == b'"')? + 2,
        None => 0,
    };
    behind[title..].starts_with(')').then(|| rest.len() - behind.len() + title + 1)
}

/// The words of a link in the brackets that a text ends with. An index of code stands directly behind what it is one of: `a[0]`.
pub(super) fn link_text(before: &str) -> Option<&str> {
    let inside = before.strip_suffix(']')?;
    let head = inside.floor_char_boundary(inside.len().saturating_sub(MAX_TAG_BYTES));
    let open = head + inside[head..].rfind('[')?;
    let is_link = inside[open..].contains(char::is_alphanumeric)
        && !before[..open].ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, ')' | ']'));
    is_link.then(|| &inside[open + 1..])
}

/// Bytes of the name of where a link leads, from the `[` that `rest` begins with to its `]`.
pub(super) fn link_name(rest: &str) -> Option<usize> {
    let end = rest.bytes().skip(1).take(MAX_TAG_BYTES).position(|byte| matches!(byte, b'[' | b']'))? + 1;
    rest[end..].starts_with(']').then_some(end + 1)
}

/// Whether a place lies inside one of these stretches, which are in order.
pub(super) fn is_inside(stretches: &[Range<usize>], at: usize) -> bool {
    let next = stretches.partition_point(|stretch| stretch.end <= at);
    stretches.get(next).is_some_and(|stretch| stretch.start <= at)
}
