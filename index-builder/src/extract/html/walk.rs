//! The walk over a parsed page: blocks become paragraphs, `pre` becomes code, tables become rows. No recursion.

use ego_tree::NodeId;
use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use scraper::node::Element;
use scraper::{Html, Node};

use crate::extract::draft::{Draft, one_line};

/// Elements that nobody reads.
const SILENT: [&str; 17] = [
    "script",
    "style",
    "template",
    "noscript",
    "head",
    "iframe",
    "object",
    "embed",
    "svg",
    "audio",
    "video",
    "canvas",
    "select",
    "button",
    "textarea",
    "annotation",
    "annotation-xml",
];
/// Elements that run within a line; every other one ends it.
const INLINE: [&str; 46] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "input",
    "ins", "kbd", "label", "mark", "math", "mi", "mn", "mo", "mrow", "ms", "msub", "msup", "mtext", "picture", "q", "rp", "rt",
    "ruby", "s", "samp", "small", "source", "span", "strike", "strong", "sub", "sup", "time", "tt",
];

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
    lists: Vec<List>,
    label: Option<String>,
    is_in_list: bool,
    /// The element whose end is waited for.
    skipped: Option<NodeId>,
}

struct List {
    next: Option<usize>,
}

impl Walk {
    /// Reads a page.
    pub(super) fn over(page: &Html) -> Self {
        let mut walk = Self::default();
        for edge in page.tree.root().traverse() {
            match edge {
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
        walk
    }

    /// Bytes of text that were read.
    pub(super) fn len(&self) -> usize {
        self.draft.len()
    }

    fn text(&mut self, text: &str) {
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
        if let Some(code) = &mut self.code {
            if name == "br" {
                code.push('\n');
            }
            return;
        }
        match name {
            "br" => self.line.push('\n'),
            _ if INLINE.contains(&name) => {}
            "pre" | "listing" | "xmp" => {
                self.flush();
                self.code = Some(String::new());
            }
            "table" => {
                self.flush();
                if let Some(rows) = data_table(node) {
                    self.end_list();
                    self.draft.table(&rows);
                    self.skipped = Some(node.id());
                }
            }
            "ul" | "menu" => {
                self.flush();
                self.lists.push(List { next: None });
            }
            "ol" => {
                self.flush();
                let start = element.attr("start").and_then(|start| start.parse().ok()).unwrap_or(1);
                self.lists.push(List { next: Some(start) });
            }
            "li" => {
                self.flush();
                let indent = "  ".repeat(self.lists.len().saturating_sub(1));
                let label = match self.lists.last_mut() {
                    Some(List { next: Some(next) }) => {
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
        match name {
            "pre" | "listing" | "xmp" => {
                if let Some(code) = self.code.take() {
                    self.end_list();
                    self.draft.code(&code);
                }
            }
            _ if self.code.is_some() || name == "br" || INLINE.contains(&name) => {}
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                let heading = one_line(&std::mem::take(&mut self.line));
                if heading.is_empty() {
                    return;
                }
                if name == "h1" && self.h1.is_none() {
                    self.h1 = Some(heading.clone());
                }
                self.end_list();
                self.draft.heading(name.as_bytes()[1] - b'0', &heading);
            }
            "ul" | "ol" | "menu" => {
                self.flush();
                self.lists.pop();
            }
            "li" => {
                self.flush();
                self.label = None;
            }
            _ => self.flush(),
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
        match self.label.take() {
            Some(label) if self.is_in_list => self.draft.line(&format!("{label}{text}")),
            Some(label) => self.draft.paragraph(&format!("{label}{text}")),
            None => self.draft.paragraph(text),
        }
        self.is_in_list = !self.lists.is_empty();
    }
}

/// Takes hidden elements out of a page.
pub(super) fn detach_hidden(page: &mut Html) {
    let is_hidden_node = |node: &NodeRef<'_, Node>| matches!(node.value(), Node::Element(element) if is_hidden(element));
    let hidden: Vec<NodeId> = page.tree.nodes().filter(is_hidden_node).map(|node| node.id()).collect();
    for id in hidden {
        if let Some(mut node) = page.tree.get_mut(id) {
            node.detach();
        }
    }
}

fn is_hidden(element: &Element) -> bool {
    let style = || element.attr("style").map(|style| style.to_ascii_lowercase().replace(' ', ""));
    element.attr("hidden").is_some()
        || element.attr("aria-hidden") == Some("true")
        || style().is_some_and(|style| style.contains("display:none") || style.contains("visibility:hidden"))
}

fn is_silent(element: &Element) -> bool {
    SILENT.contains(&element.name())
}

/// Adds words with one space for every run of white space.
fn push_words(line: &mut String, text: &str) {
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

/// The rows of a table of data; none for a table that lays out a page, which holds other tables, headings or one column.
fn data_table(table: NodeRef<'_, Node>) -> Option<Vec<Vec<String>>> {
    const LAYOUT: [&str; 8] = ["table", "h1", "h2", "h3", "h4", "h5", "pre", "form"];
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut skipped = None;
    let mut is_in_cell = false;
    for edge in table.traverse().skip(1) {
        match edge {
            Edge::Open(node) if skipped.is_none() => match node.value() {
                Node::Text(text) if is_in_cell => push_words(rows.last_mut()?.last_mut()?, text),
                // A caption: a row of its own.
                Node::Text(text) if !text.trim().is_empty() => rows.push(vec![text.to_string()]),
                Node::Element(element) if is_silent(element) => skipped = Some(node.id()),
                Node::Element(element) if LAYOUT.contains(&element.name()) => return None,
                Node::Element(element) => match element.name() {
                    "tr" => rows.push(Vec::new()),
                    "td" | "th" => {
                        if rows.is_empty() {
                            rows.push(Vec::new());
                        }
                        rows.last_mut()?.push(String::new());
                        is_in_cell = true;
                    }
                    name if is_in_cell && !INLINE.contains(&name) => push_words(rows.last_mut()?.last_mut()?, " "),
                    _ => {}
                },
                _ => {}
            },
            Edge::Close(node) if skipped == Some(node.id()) => skipped = None,
            Edge::Close(node) if skipped.is_none() => {
                if let Node::Element(element) = node.value() {
                    match element.name() {
                        "td" | "th" => is_in_cell = false,
                        name if is_in_cell && !INLINE.contains(&name) => push_words(rows.last_mut()?.last_mut()?, " "),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let filled = |row: &&Vec<String>| row.iter().filter(|cell| !cell.trim().is_empty()).count() > 1;
    (rows.iter().filter(filled).count() > 1).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        let mut page = Html::parse_document(html);
        detach_hidden(&mut page);
        Walk::over(&page).draft.finish(crate::extract::Format::Html, "").text
    }

    #[test]
    fn lists_are_labelled_and_indented() {
        let html = "<p>To do:<ul><li>one<li>two<ol start=4><li>four<li><p>five</ol><li>three</ul>after";
        assert_eq!(text(html), "To do:\n\n- one\n- two\n  4. four\n  5. five\n- three\n\nafter");
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
    fn hidden_things_are_not_read() {
        let html = "a<span hidden>b</span><i style='Display: NONE'>c</i><svg><text>d</text></svg><details><summary>e</summary>f</details>";
        assert_eq!(text(html), "a\n\ne\n\nf");
    }
}
