//! HTML to a tree, given up where it is nested too deep: a parser's work grows with the square of the depth, and half a megabyte of
//! `<ul><li>` keeps it busy for a minute and a half.
//!
//! What nests is for the parser to say: quotation marks, comments, elements that end others and those that only look so are told
//! apart by nothing less.

use std::cell::RefCell;
use std::collections::HashSet;

use ego_tree::NodeId;
use html5ever::ParseOpts;
use html5ever::interface::Tracer;
use html5ever::tendril::TendrilSink as _;
use scraper::{Html, HtmlTreeSink};

/// Browsers stop at this depth too.
pub(super) const DEPTH_MAX: usize = 512;

/// What the parser holds beside the elements of a body: the document, `html`, `head` and `body`.
const BESIDE: usize = 4;

/// Bytes between two looks at the parser: what they nest costs next to nothing.
const STEP_BYTES: usize = 8 << 10;

/// The tree of a page; none where elements are nested deeper than [`DEPTH_MAX`].
pub(super) fn parse(html: &str) -> Option<Html> {
    let mut parser = html5ever::parse_document(HtmlTreeSink::new(Html::new_document()), ParseOpts::default());
    let mut rest = html;
    while !rest.is_empty() {
        let (step, after) = rest.split_at(rest.floor_char_boundary(STEP_BYTES));
        parser.process(step.into());
        rest = after;
        let open = Open::default();
        parser.tokenizer.sink.trace_handles(&open);
        if open.0.into_inner().len() > DEPTH_MAX + BESIDE {
            return None;
        }
    }
    Some(parser.finish())
}

/// The nodes that a parser has not closed.
#[derive(Default)]
struct Open(RefCell<HashSet<NodeId>>);

impl Tracer for Open {
    type Handle = NodeId;

    fn trace_handle(&self, node: &NodeId) {
        self.0.borrow_mut().insert(*node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_what_a_parser_nests() {
        let is_too_deep = |html: &str| parse(html).is_none();
        let bombs = [
            "<ul><li>",
            "<div/>",
            "<div></b>",
            "<rt>",
            "<optgroup>",
            "<p_>",
            "<b><div></b>",
            "<span><div></span>",
            "<div><object></div>",
            "<svg><div/>",
            "<svg/><div/>",
        ];
        for bomb in bombs {
            for before in ["", "<p \">", "<p title=it's>", "<!-->", "<svg><title>"] {
                assert!(is_too_deep(&format!("{before}{}", bomb.repeat(4000))), "{before}{bomb}");
            }
        }
        let flat = [
            "<div><span></div>",
            "<p>old<br>style<li>page<td>",
            "<select><option>a<optgroup>b</select>",
            "<ruby>a<rt>b</ruby>",
            "<!-- <div> --><a title=\"<div>\"></a> 1 < 2 <",
            "<svg><path d='>'/></svg>",
            "<a href=x'>b</a>",
        ];
        for page in flat {
            assert!(!is_too_deep(&page.repeat(4000)), "{page}");
        }
        assert!(!is_too_deep(&format!("<script>{}</script>", "\"<div>\"".repeat(4000))));
    }

    #[test]
    fn a_page_is_the_same_whole_and_in_steps() {
        let page = "<table>a<tr><td>&eacute;é\r\n<!-- - --><b><p>日</b>x</p></table><textarea>\n<i></textarea>".repeat(2000);
        assert_eq!(parse(&page).unwrap(), Html::parse_document(&page));
    }
}
