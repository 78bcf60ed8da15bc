//! What markup says without words, put into words or taken out before a page is read, and which elements part words.

use std::collections::HashSet;

use ego_tree::iter::Edge;
use ego_tree::{NodeId, NodeRef};
use scraper::node::{Element, Text};
use scraper::{Html, Node};

use crate::extract::exponent::is_apart;

/// Elements that nobody reads.
const SILENT: [&str; 15] = [
    "script", "style", "template", "noscript", "head", "iframe", "object", "embed", "svg", "audio", "video", "canvas", "select",
    "button", "textarea",
];
/// Elements that stand on lines of their own; every other one runs within a line, as in browsers.
const BLOCK: [&str; 55] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "col",
    "colgroup",
    "dd",
    "details",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hgroup",
    "hr",
    "html",
    "legend",
    "li",
    "listing",
    "main",
    "menu",
    "nav",
    "ol",
    "optgroup",
    "option",
    "p",
    "pre",
    "search",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "ul",
    "xmp",
];

/// A change of one element.
enum Change {
    /// It goes, with what it holds.
    Detach,
    /// It loses these attributes.
    Forget(&'static [&'static str]),
    /// It becomes another element, because the search for the main content drops this one with what it holds.
    Rename(&'static str),
    /// Its text is raised, lowered or divided by, which a line of text has to say.
    Mark(&'static str),
}

/// Makes a page what its reader sees: hidden elements go, and so do links that only mark a place; exponents get a `^`.
pub(super) fn settle(page: &mut Html, html: &str) {
    let opened = opened_ids(page);
    let struck: Vec<&str> = ["del", "s", "strike"].into_iter().filter(|name| is_closed(html, name)).collect();
    let mut changes: Vec<(NodeId, Change)> = Vec::new();
    // The last character before an element.
    let mut before = ' ';
    for node in page.tree.root().descendants() {
        match node.value() {
            Node::Text(text) => before = text.chars().last().unwrap_or(before),
            Node::Element(element) => {
                if is_block(element.name()) {
                    before = ' ';
                }
                changes.extend(change(node, element, before, &opened, &struck).map(|change| (node.id(), change)));
            }
            _ => {}
        }
    }
    for (id, change) in changes {
        let Some(mut node) = page.tree.get_mut(id) else { continue };
        match (change, node.value()) {
            (Change::Detach, _) => node.detach(),
            (Change::Forget(names), Node::Element(element)) => element.attrs.retain(|(name, _)| !names.contains(&&*name.local)),
            (Change::Rename(name), Node::Element(element)) => element.name.local = name.into(),
            (Change::Mark(mark), _) => {
                node.prepend(Node::Text(Text { text: mark.into() }));
            }
            _ => {}
        }
    }
}

fn change(node: NodeRef<'_, Node>, element: &Element, before: char, opened: &HashSet<String>, struck: &[&str]) -> Option<Change> {
    if is_hidden(element) {
        let is_opened = is_opened(node, element, opened);
        return Some(if is_opened { Change::Forget(&["hidden", "style", "aria-hidden", "class"]) } else { Change::Detach });
    }
    match element.name() {
        "a" if is_permalink(node, element) => Some(Change::Detach),
        "sup" if is_footnote_mark(node) => Some(Change::Detach),
        "sup" if is_apart(text(node).trim(), before) => Some(Change::Mark("^")),
        "sub" if is_apart(text(node).trim(), before) => Some(Change::Mark("_")),
        // What a formula was written as, beside the formula, and what no longer holds.
        name if matches!(name, "annotation" | "annotation-xml") || struck.contains(&name) => Some(Change::Detach),
        "figure" if node.descendants().any(|inner| name(inner) == "pre") => Some(Change::Rename("div")),
        "ins" | "time" | "output" | "math" => Some(Change::Rename("span")),
        "button" if is_heading(node) => Some(Change::Rename("span")),
        "section" | "div" if is_named_by_heading(node, element) => Some(Change::Forget(&["id"])),
        _ => {
            let is_later = node.prev_siblings().any(|sibling| sibling.value().is_element());
            let mark = match node.parent().map_or("", name) {
                "msup" => "^",
                "msub" => "_",
                "mfrac" => "/",
                _ => return None,
            };
            is_later.then_some(Change::Mark(mark))
        }
    }
}

/// Whether as many tags close elements of this name as open them: one that nothing closes takes the rest of the page.
fn is_closed(html: &str, name: &str) -> bool {
    let count = |mark: &str| {
        let is_tag = |(at, _): &(usize, &str)| {
            let (found, rest) = html.as_bytes()[at + 1..].split_at_checked(mark.len() + name.len())?;
            let is_named = found.starts_with(mark.as_bytes()) && found[mark.len()..].eq_ignore_ascii_case(name.as_bytes());
            Some(is_named && rest.first().is_some_and(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte)))
        };
        html.match_indices('<').filter(|found| is_tag(found).unwrap_or(false)).count()
    };
    count("") == count("/")
}

fn name(node: NodeRef<'_, Node>) -> &str {
    node.value().as_element().map_or("", Element::name)
}

fn text(node: NodeRef<'_, Node>) -> String {
    node.descendants().filter_map(|inner| inner.value().as_text()).map(|text| &**text).collect()
}

fn is_hidden(element: &Element) -> bool {
    let style = || element.attr("style").map(|style| style.to_ascii_lowercase().split_ascii_whitespace().collect::<String>());
    element.attr("hidden").is_some()
        || element.attr("aria-hidden") == Some("true")
        || style().is_some_and(|style| style.contains("display:none") || style.contains("visibility:hidden"))
}

/// The names of elements that something on the page opens.
fn opened_ids(page: &Html) -> HashSet<String> {
    let mut ids = HashSet::new();
    for element in page.tree.nodes().filter_map(|node| node.value().as_element()) {
        let controlled = element.attr("aria-controls").unwrap_or_default().split_whitespace();
        let targets = ["href", "data-target", "data-bs-target"].map(|name| element.attr(name)?.strip_prefix('#'));
        ids.extend(controlled.chain(targets.into_iter().flatten()).map(ToOwned::to_owned));
    }
    ids
}

/// Whether a hidden element waits for its reader to open it: a tab, an answer below its question. A menu or a dialog is none.
fn is_opened(node: NodeRef<'_, Node>, element: &Element, opened: &HashSet<String>) -> bool {
    match element.attr("role") {
        Some("tabpanel") => return true,
        Some("dialog" | "alertdialog" | "menu") => return false,
        _ => {}
    }
    let is_named = element.id().is_some_and(|id| opened.contains(id)) || element.attr("hidden") == Some("until-found");
    is_named && node.descendants().any(|inner| matches!(name(inner), "p" | "pre" | "table" | "dd"))
}

/// A link to a place on a page that says nothing: the pilcrow behind a heading, the arrow behind a footnote.
fn is_permalink(node: NodeRef<'_, Node>, link: &Element) -> bool {
    const MARKS: &str = "¶#§↩↑🔗⚓\u{fe0e}\u{fe0f}";
    let says_something = |inner: NodeRef<'_, Node>| match inner.value() {
        Node::Text(text) => text.contains(|char: char| !char.is_whitespace() && !MARKS.contains(char)),
        Node::Element(element) => element.name() == "code",
        _ => false,
    };
    link.attr("href").is_some_and(|href| href.contains('#')) && !node.descendants().any(says_something)
}

/// A raised number that leads to a footnote.
fn is_footnote_mark(node: NodeRef<'_, Node>) -> bool {
    const MARK_MAX_CHARS: usize = 10;
    let leads = |inner: NodeRef<'_, Node>| inner.value().as_element()?.attr("href").map(|href| href.contains('#'));
    node.descendants().find_map(leads).unwrap_or(false) && text(node).trim().chars().count() <= MARK_MAX_CHARS
}

/// Whether a button is all that a heading says: the question of an answer that folds out.
fn is_heading(button: NodeRef<'_, Node>) -> bool {
    /// Nodes and characters that are compared: a heading may hold any number of buttons.
    const COMPARED_MAX: usize = 1000;
    fn letters(node: NodeRef<'_, Node>) -> impl Iterator<Item = char> {
        let texts = node.descendants().take(COMPARED_MAX).filter_map(|inner| inner.value().as_text());
        texts.flat_map(|text| text.chars()).take(COMPARED_MAX).filter(|char| !char.is_whitespace())
    }
    let is_title = |node: &NodeRef<'_, Node>| matches!(name(*node), "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "summary" | "dt");
    button.ancestors().take(4).find(is_title).is_some_and(|title| letters(title).eq(letters(button)))
}

/// Whether a section is named by its heading, as generators of documentation do: `share` is a name then, and no row of buttons.
fn is_named_by_heading(node: NodeRef<'_, Node>, section: &Element) -> bool {
    let letters = |text: &str| text.chars().filter(|char| char.is_alphanumeric()).collect::<String>().to_lowercase();
    let first = node.children().find(|child| child.value().is_element());
    let heading = first.filter(|first| matches!(name(*first), "h1" | "h2" | "h3" | "h4" | "h5" | "h6"));
    heading.zip(section.id()).is_some_and(|(heading, id)| letters(&text(heading)) == letters(id))
}

/// Whether more than half of an element's text is links.
pub(super) fn is_mostly_links(node: NodeRef<'_, Node>) -> bool {
    let (mut all, mut linked, mut depth) = (0, 0, 0_usize);
    for edge in node.traverse() {
        match edge {
            Edge::Open(inner) if name(inner) == "a" => depth += 1,
            Edge::Close(inner) if name(inner) == "a" => depth -= 1,
            Edge::Open(inner) => {
                let bytes = inner.value().as_text().map_or(0, |text| text.trim().len());
                all += bytes;
                linked += if depth > 0 { bytes } else { 0 };
            }
            Edge::Close(_) => {}
        }
    }
    linked * 2 > all
}

/// Whether an element ends the line before it.
pub(super) fn is_block(name: &str) -> bool {
    BLOCK.contains(&name)
}

pub(super) fn is_silent(element: &Element) -> bool {
    SILENT.contains(&element.name())
}

/// Adds words with one space for every run of white space.
pub(super) fn push_words(line: &mut String, text: &str) {
    let gap = |line: &mut String| {
        if !line.is_empty() && !line.ends_with([' ', '\n']) {
            line.push(' ');
        }
    };
    if text.starts_with(char::is_whitespace) {
        gap(line);
    }
    for (index, word) in text.split_whitespace().enumerate() {
        if index > 0 {
            gap(line);
        }
        line.push_str(word);
    }
    if text.ends_with(char::is_whitespace) {
        gap(line);
    }
}

#[cfg(test)]
mod tests {
    use super::super::walk::Walk;
    use super::*;

    fn text(html: &str) -> String {
        let mut page = Html::parse_document(html);
        settle(&mut page, html);
        Walk::over_page(&page).draft.finish(crate::extract::Format::Html, "").text
    }

    #[test]
    fn exponents_are_no_part_of_the_number_before() {
        assert_eq!(
            text("10<sup>6</sup> m<sup>2</sup>, 12<sup>3</sup> %, 2<sup>n</sup>, s<sup>-1</sup>"),
            "10^6 m2, 12^3 %, 2^n, s^-1"
        );
        assert_eq!(
            text("the 1<sup>st</sup>, 2<sup>e</sup>, H<sub>2</sub>O, SO<sub>4</sub><sup>2-</sup>"),
            "the 1st, 2e, H2O, SO4^2-"
        );
        assert_eq!(text("<p>in 2010</p><p><sup>1</sup>By hand</p>"), "in 2010\n\n1By hand");
        assert_eq!(text("<math><msup><mn>10</mn><mn>6</mn></msup><mfrac><mi>a</mi><mi>b</mi></mfrac></math>"), "10^6a/b");
    }

    #[test]
    fn struck_text_goes() {
        assert_eq!(text("costs <del>50</del><ins>75</ins> EUR, <s>7</s> <strike>8</strike> 9"), "costs 75 EUR, 9");
        assert_eq!(text("<del><p>One</p><p>Two</p></DEL ><p>Three"), "Three");
        // One that nobody closes would take the rest of the page.
        let unclosed = "<p>One <s>old<p>Second para here.<p>Third <del>fourth</del>.";
        assert_eq!(text(unclosed), "One old\n\nSecond para here.\n\nThird .");
        assert_eq!(text("<div>One <del>two <span>three<p>Four</div>"), "One two three\n\nFour");
    }

    #[test]
    fn marks_of_places_and_footnotes_go() {
        let html = "<h2>Sharing<a class=headerlink href=#sharing>\u{b6}</a></h2>40<sup><a href=#fn1>[1]</a></sup> mills <a href=#x>here</a>";
        assert_eq!(text(html), "Sharing\n\n40 mills here");
        assert_eq!(text("<p>By hand <a href=#ref1>\u{21a9}\u{fe0e}</a><a href=#top><img src=a.png></a>"), "By hand");
        assert_eq!(text("<a href=#add><code>+</code></a> <a href=#hash><code>#</code></a> <a href=#sub>−</a>"), "+ # −");
    }

    #[test]
    fn what_a_reader_can_open_is_read() {
        assert_eq!(text("<div role=tabpanel hidden>tab</div><p hidden=until-found>found<p hidden>gone"), "tab\n\nfound");
        let answer = "<div id=a style='display: none'><p>Answer</p></div>";
        assert_eq!(text(&format!("<h2><button aria-controls=a>Question?</button></h2>{answer}")), "Question?\n\nAnswer");
        assert_eq!(text(&format!("<h2>Struct Vec <button>Copy</button></h2>{answer}")), "Struct Vec");
        let menu = "<button data-target=#m>Menu</button>text<ul id=m hidden><li>Home</ul>";
        assert_eq!(text(menu), "text");
        let started = std::time::Instant::now();
        assert_eq!(text(&format!("<h2>Struct Vec {}</h2>", "<button>Copy</button>".repeat(20_000))), "Struct Vec");
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }
}
