//! How deep a page is nested, counted before it is parsed: an HTML parser's work grows with the square of the depth, and half a
//! megabyte of `<ul><li>` keeps it busy for a minute and a half.

/// Browsers stop at this depth too.
pub(super) const DEPTH_MAX: usize = 512;

/// Elements that never hold others.
const VOID: [&str; 16] = [
    "area", "base", "basefont", "br", "col", "embed", "frame", "hr", "img", "input", "keygen", "link", "meta", "source", "track",
    "wbr",
];
/// Elements that the next one of their kind closes: old pages open thousands and close none.
const SELF_ENDING: [&str; 20] = [
    "html", "head", "body", "p", "li", "dt", "dd", "option", "optgroup", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup",
    "rb", "rt", "rp", "rtc",
];
/// Elements whose content is text to the parser, whatever it looks like.
const RAW: [&str; 8] = ["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"];

/// Whether elements are nested deeper than [`DEPTH_MAX`]. One pass, no allocation per tag beyond the open ones.
pub(super) fn is_too_deep(html: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let is_end = rest.starts_with('/');
        let tag = rest.strip_prefix('/').unwrap_or(rest);
        let name_len = tag.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count();
        let name = &tag[..name_len];
        if !name.starts_with(|char: char| char.is_ascii_alphabetic()) {
            continue;
        }
        let is = |names: &[&str]| names.iter().any(|other| name.eq_ignore_ascii_case(other));
        let (inside, after) = split_tag(&tag[name_len..]);
        rest = after;
        if is_end {
            if let Some(at) = open.iter().rposition(|other| other.eq_ignore_ascii_case(name)) {
                open.truncate(at);
            }
            continue;
        }
        if is(&RAW) {
            rest = skip_raw(rest, name);
            continue;
        }
        let is_foreign = open.iter().any(|other| other.eq_ignore_ascii_case("svg") || other.eq_ignore_ascii_case("math"));
        if is(&VOID) || is(&SELF_ENDING) || (inside.ends_with('/') && is_foreign) {
            continue;
        }
        open.push(name);
        if open.len() > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// The attributes of a tag and what follows its `>`; a `>` between quotes does not end it.
fn split_tag(tag: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (byte, quote) {
            (b'>', None) => return (&tag[..at], &tag[at + 1..]),
            (b'"' | b'\'', None) => quote = Some(byte),
            (byte, Some(open)) if byte == open => quote = None,
            _ => {}
        }
    }
    (tag, "")
}

/// What follows the end tag of a raw text element.
fn skip_raw<'h>(mut rest: &'h str, name: &str) -> &'h str {
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_as_a_parser_nests() {
        assert!(is_too_deep(&"<ul><li>".repeat(600)));
        assert!(is_too_deep(&"<div/>".repeat(600)));
        assert!(is_too_deep(&"<div></b>".repeat(600)));
        assert!(!is_too_deep(&"<div><span></div>".repeat(600)));
        assert!(!is_too_deep(&"<p>old<br>style<li>page<td>".repeat(600)));
        assert!(!is_too_deep(&format!("<script>{}</script>", "\"<div>\"".repeat(600))));
        assert!(!is_too_deep(&format!("<svg>{}</svg>", "<path d='>'/>".repeat(600))));
        assert!(!is_too_deep(&"<!-- <div> --><a title=\"<div>\"></a> 1 < 2 <".repeat(600)));
    }
}
