//! The walk over a parsed page: blocks become paragraphs, `pre` becomes code, tables become rows. No recursion.

use ego_tree::NodeId;
use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use scraper::node::Element;
use scraper::{Html, Node};

use super::markup::{is_block, is_silent, push_words};
use super::table;
use crate::extract::draft::{Draft, one_line};

/// The most terms that one text explains: an option and its short form, a word and what else it is called.
const TERMS_MAX: usize = 4;
/// Marks that end a term like a letter; a colon follows.
const TERM_ENDS: [char; 8] = [')', ']', '}', '>', '"', '\'', '”', '’'];

/// What was read of a page.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) draft: Draft,
    /// The first heading of level 1.
    pub(super) h1: Option<String>,
    /// The line being read; `\n` where the page breaks it.
    line: String,
    /// The code being read, inside `pre`.
    code: Option<String>,
    /// The number of the next item; none where items have none.
    lists: Vec<Option<usize>>,
    label: Option<String>,
    /// What the next paragraph explains, in a list of definitions.
    terms: Vec<String>,
    /// Links around what is read.
    links: usize,
    /// Bytes of text outside links, but for single words.
    prose: usize,
    is_in_list: bool,
    /// The element whose end is waited for.
    skipped: Option<NodeId>,
}

impl Walk {
    /// Reads a whole page.
    pub(super) fn over_page(page: &Html) -> Self {
        Self::over(page.tree.root(), |_, _| false)
    }

    /// Reads a part of a page without the elements that are left out of it.
    pub(super) fn over(part: NodeRef<'_, Node>, is_left_out: impl Fn(NodeRef<'_, Node>, &Element) -> bool) -> Self {
        let mut walk = Self::default();
        for edge in part.traverse() {
            match edge {
                Edge::Open(node)
                    if walk.skipped.is_none() && node.value().as_element().is_some_and(|it| is_left_out(node, it)) =>
                {
                    walk.flush();
                    walk.skipped = Some(node.id());
                }
                Edge::Open(node) if walk.skipped.is_none() => match node.value() {
                    Node::Text(text) => walk.text(text),
                    Node::Element(element) => walk.open(node, element),
                    _ => {}
                },
                Edge::Close(node) if walk.skipped.is_some_and(|skipped| skipped == node.id()) => walk.skipped = None,
                Edge::Close(node) if walk.skipped.is_none() => {
                    if let Node::Element(element) = node.value() {
                        walk.close(element.name());
                    }
                }
                _ => {}
            }
        }
        walk.flush();
        walk.end_terms();
        walk
    }

    /// Bytes of text that were read.
    pub(super) fn len(&self) -> usize {
        self.draft.len()
    }

    /// Whether it leads elsewhere more than it says itself, while `page` says much more.
    pub(super) fn only_leads_on(&self, page: &Self) -> bool {
        self.prose * 2 < self.len() && self.prose * 2 < page.prose
    }

    fn text(&mut self, text: &str) {
        if self.links == 0 && text.trim().contains(char::is_whitespace) {
            self.prose += text.trim().len();
        }
        match &mut self.code {
            Some(code) => code.push_str(text),
            None => push_words(&mut self.line, text),
        }
    }

    fn open(&mut self, node: NodeRef<'_, Node>, element: &Element) {
        let name = element.name();
        if is_silent(element) {
            self.skipped = Some(node.id());
            return;
        }
        self.links += usize::from(name == "a");
        if let Some(code) = &mut self.code {
            if name == "br" {
                code.push('\n');
            }
            return;
        }
        match name {
            "br" => self.line.push('\n'),
            _ if !is_block(name) => {}
            "pre" | "listing" | "xmp" => {
                self.flush();
                self.end_terms();
                self.code = Some(String::new());
            }
            "table" => {
                self.flush();
                if let Some(rows) = table::rows(node) {
                    self.end_terms();
                    self.end_list();
                    self.prose += rows.iter().flatten().map(String::len).sum::<usize>();
                    self.draft.table(&rows);
                    self.skipped = Some(node.id());
                }
            }
            "dl" => {
                self.flush();
                self.end_terms();
            }
            "ul" | "menu" => {
                self.flush();
                self.end_terms();
                self.lists.push(None);
            }
            "ol" => {
                self.flush();
                self.end_terms();
                let start = element.attr("start").and_then(|start| start.parse().ok()).unwrap_or(1);
                self.lists.push(Some(start));
            }
            "li" => {
                self.flush();
                let indent = "  ".repeat(self.lists.len().saturating_sub(1));
                let label = match self.lists.last_mut() {
                    Some(Some(next)) => {
                        *next = next.saturating_add(1);
                        format!("{}.", *next - 1)
                    }
                    _ => "-".to_owned(),
                };
                self.label = Some(format!("{indent}{label} "));
            }
            _ => self.flush(),
        }
    }

    fn close(&mut self, name: &str) {
        self.links -= usize::from(name == "a");
        match name {
            "pre" | "listing" | "xmp" => {
                if let Some(code) = self.code.take() {
                    self.end_list();
                    self.draft.code(&code);
                }
            }
            _ if self.code.is_some() || name == "br" || !is_block(name) => {}
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                let heading = one_line(&std::mem::take(&mut self.line));
                if heading.is_empty() {
                    return;
                }
                if name == "h1" && self.h1.is_none() {
                    self.h1 = Some(heading.clone());
                }
                self.end_terms();
                self.end_list();
                self.draft.heading(name.as_bytes()[1] - b'0', &heading);
            }
            "ul" | "ol" | "menu" => {
                self.flush();
                self.lists.pop();
            }
            "li" => {
                self.flush();
                self.end_terms();
                self.label = None;
            }
            // One that is empty explains its term no less.
            "dd" => {
                self.flush();
                self.end_terms();
            }
            "dt" => {
                let term = one_line(&std::mem::take(&mut self.line));
                self.terms.extend(Some(term).filter(|term| !term.is_empty()));
            }
            "dl" => {
                self.flush();
                self.end_terms();
            }
            _ => self.flush(),
        }
    }

    /// Writes terms that no text explains.
    fn end_terms(&mut self) {
        for term in std::mem::take(&mut self.terms) {
            self.line = term;
            self.flush();
        }
    }

    fn end_list(&mut self) {
        self.is_in_list = false;
        self.label = None;
    }

    /// Writes the line that was being read.
    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        let lines: Vec<&str> = line.split('\n').map(str::trim).collect();
        let text = lines.join("\n");
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        // More are a list of their own.
        if self.terms.len() > TERMS_MAX {
            let last = self.terms.pop();
            self.end_terms();
            self.terms.extend(last);
        }
        let term = std::mem::take(&mut self.terms).join(", ");
        let gap = if term.ends_with(char::is_alphanumeric) || term.ends_with(TERM_ENDS) { ": " } else { " " };
        let text = if term.is_empty() { text.to_owned() } else { format!("{term}{gap}{text}") };
        match self.label.take() {
            Some(label) if self.is_in_list => self.draft.line(&format!("{label}{text}")),
            Some(label) => self.draft.paragraph(&format!("{label}{text}")),
            None => self.draft.paragraph(&text),
        }
        self.is_in_list = !self.lists.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::super::markup;
    use super::*;

    fn text(html: &str) -> String {
        let mut page = Html::parse_document(html);
        markup::settle(&mut page, html);
        Walk::over_page(&page).draft.finish(crate::extract::Format::Html, "").text
    }

    #[test]
    fn lists_are_labelled_and_indented() {
        let html = "<p>To do:<ul><li>one<li>two<ol start=4><li>four<li><p>five</ol><li>three</ul>after";
        assert_eq!(text(html), "To do:\n\n- one\n- two\n  4. four\n  5. five\n- three\n\nafter");
    }

    #[test]
    fn a_term_stands_before_what_explains_it() {
        let html = "<dl><dt>-q<dt>--quiet<dd><p>Say less.</p><p>Twice: nothing.</p><dt>Modes:<dd><ul><li>a</ul><dt>-x<dd><pre>y</pre><dt>-z</dl>after";
        let empty = "<dl><dt>Fax<dd></dd><dt>New<dd><img><dt>Phone<dt>Mobile<dd>+49 30 1234</dl>";
        assert_eq!(text(empty), "Fax\n\nNew\n\nPhone, Mobile: +49 30 1234");
        let contents = "<dl><dt>1. a<dd><dl><dt>1.1. b<dt>1.2. c</dl><dt>2. d</dl>";
        assert_eq!(text(contents), "1. a\n\n1.1. b\n\n1.2. c\n\n2. d");
        assert_eq!(text(html), "-q, --quiet: Say less.\n\nTwice: nothing.\n\nModes:\n\n- a\n\n-x\n\n```\ny\n```\n\n-z\n\nafter");
    }

    #[test]
    fn layout_tables_are_paragraphs() {
        let html = "<table><tr><td><h2>H</h2>left</td><td>right</td></tr></table><table><tr><td>only</td></tr></table>";
        assert_eq!(text(html), "H\n\nleft\n\nright\n\nonly");
    }

    #[test]
    fn cells_keep_their_words_apart() {
        let html = "<table><caption>C</caption><tr><th>a<th>b<tr><td><p>x</p><p>y</p><td><ul><li>1<li>2</ul></table>";
        assert_eq!(text(html), "C\na | b\nx y | 1 2");
    }

    #[test]
    fn only_blocks_end_a_line() {
        assert_eq!(text("<p>a <u>b</u> <x-tip>c</x-tip> Win<wbr>dow<div>d</div>"), "a b c Window\n\nd");
    }

    #[test]
    fn hidden_things_are_not_read() {
        let html = "a<span hidden>b</span><i style='Display:\t\nNONE'>c</i><svg><text>d</text></svg><details><summary>e</summary>f</details>";
        assert_eq!(text(html), "a\n\ne\n\nf");
    }
}
