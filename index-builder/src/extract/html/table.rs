//! A table of data on a page: its rows, each cell under its column.

use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use scraper::Node;
use scraper::node::Element;

use super::markup::{is_block, is_silent, push_words};

/// Bytes that cells which reach over rows and columns may add to a table: a page of some kilobytes could make gigabytes of them.
const ADDED_MAX_BYTES: usize = 1 << 20;

#[derive(Default)]
struct Cell {
    text: String,
    columns: usize,
    rows: usize,
}

/// The rows of a table of data; none for a table that lays out a page, which holds other tables, headings or one column.
pub(super) fn rows(table: NodeRef<'_, Node>) -> Option<Vec<Vec<String>>> {
    const LAYOUT: [&str; 7] = ["table", "h1", "h2", "h3", "h4", "h5", "form"];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut skipped = None;
    let mut is_in_cell = false;
    // The first row of the group of rows that is read.
    let mut group = 0;
    for edge in table.traverse().skip(1) {
        match edge {
            Edge::Open(node) if skipped.is_none() => match node.value() {
                Node::Text(text) if is_in_cell => push_words(&mut rows.last_mut()?.last_mut()?.text, text),
                // A caption: a row of its own.
                Node::Text(text) if !text.trim().is_empty() => {
                    rows.push(vec![Cell { text: text.to_string(), ..Cell::default() }]);
                }
                Node::Element(element) if is_silent(element) => skipped = Some(node.id()),
                Node::Element(element) if LAYOUT.contains(&element.name()) => return None,
                Node::Element(element) => match element.name() {
                    "tr" => rows.push(Vec::new()),
                    "td" | "th" => {
                        if rows.is_empty() {
                            rows.push(Vec::new());
                        }
                        rows.last_mut()?.push(Cell::new(element));
                        is_in_cell = true;
                    }
                    name if is_in_cell && is_block(name) => push_words(&mut rows.last_mut()?.last_mut()?.text, " "),
                    _ => {}
                },
                _ => {}
            },
            Edge::Close(node) if skipped == Some(node.id()) => skipped = None,
            Edge::Close(node) if skipped.is_none() => {
                if let Node::Element(element) = node.value() {
                    match element.name() {
                        "td" | "th" => is_in_cell = false,
                        // No cell reaches out of its group.
                        "thead" | "tbody" | "tfoot" => {
                            for (left, row) in (1..).zip(rows[group..].iter_mut().rev()) {
                                row.iter_mut().for_each(|cell| cell.rows = cell.rows.min(left));
                            }
                            group = rows.len();
                        }
                        name if is_in_cell && is_block(name) => push_words(&mut rows.last_mut()?.last_mut()?.text, " "),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let filled = |row: &&Vec<Cell>| row.iter().filter(|cell| !cell.text.trim().is_empty()).count() > 1;
    (rows.iter().filter(filled).count() > 1).then(|| grid(rows))
}

impl Cell {
    fn new(element: &Element) -> Self {
        let span = |name| element.attr(name).and_then(|span| span.trim().parse().ok()).unwrap_or(1);
        Self { text: String::new(), columns: span("colspan"), rows: span("rowspan") }
    }
}

/// The cells in their columns: one that reaches over rows stands in each of them, one that reaches over columns in the first.
fn grid(rows: Vec<Vec<Cell>>) -> Vec<Vec<String>> {
    const COLUMNS_MAX: usize = 1000;
    let mut room = ADDED_MAX_BYTES;
    // What reaches down from the rows above, by column: into how many rows more, and its text.
    let mut reaching: Vec<(usize, String)> = Vec::new();
    let mut grid = Vec::with_capacity(rows.len());
    for cells in rows {
        let mut row: Vec<String> = Vec::with_capacity(cells.len());
        let mut cells = cells.into_iter().flat_map(|Cell { text, columns, rows }| {
            let padding = std::iter::repeat_n((None, rows), columns.clamp(1, COLUMNS_MAX) - 1);
            std::iter::once((Some(text), rows)).chain(padding)
        });
        let last = reaching.iter().rposition(|(left, _)| *left > 0);
        reaching.truncate(last.map_or(0, |last| last + 1));
        loop {
            let column = row.len();
            if let Some((left, text)) = reaching.get_mut(column).filter(|(left, _)| *left > 0) {
                room = room.saturating_sub(size_of::<String>() + text.len());
                *left = if room > 0 { *left - 1 } else { 0 };
                row.push(text.clone());
            } else if let Some((text, rows)) = cells.next() {
                if text.is_none() {
                    room = room.saturating_sub(size_of::<String>());
                }
                if room > 0 && rows > 1 {
                    reaching.resize(reaching.len().max(column + 1), (0, String::new()));
                    reaching[column] = (rows - 1, text.clone().unwrap_or_default());
                }
                if room > 0 || text.is_some() {
                    row.push(text.unwrap_or_default());
                }
            } else if room > 0 && last.is_some_and(|last| column <= last) {
                room = room.saturating_sub(size_of::<String>());
                row.push(String::new());
            } else {
                break;
            }
        }
        grid.push(row);
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(html: &str) -> Option<Vec<String>> {
        let page = scraper::Html::parse_fragment(&format!("<table>{html}</table>"));
        let table = page.tree.nodes().find(|node| node.value().as_element().is_some_and(|element| element.name() == "table"))?;
        rows(table).map(|rows| rows.iter().map(|row| row.join("|")).collect())
    }

    #[test]
    fn cells_stand_under_their_columns() {
        let html =
            "<tr><th rowspan=2>Plan<th colspan=2>Price<tr><th>month<th>year<tr><td rowspan=2>Pro<td>9<td>90<tr><td>8<td>80";
        assert_eq!(table(html).unwrap(), ["Plan|Price|", "Plan|month|year", "Pro|9|90", "Pro|8|80"]);
        let html = "<tr><td>a<td>b<td rowspan=3>c<tr><td>d<tr><td>e<td>f";
        assert_eq!(table(html).unwrap(), ["a|b|c", "d||c", "e|f|c"]);
        let html = "<thead><tr><th rowspan=2>Name<th>Q1</thead><tbody><tr><td>Ann<td>5<tr><td rowspan=9>Bob<td>6<tr><td>7";
        assert_eq!(table(html).unwrap(), ["Name|Q1", "Ann|5", "Bob|6", "Bob|7"]);
    }

    #[test]
    fn code_in_a_cell_is_no_layout() {
        let html = "<tr><th>Option<th>Example<tr><td>port<td><pre>port:\n  80</pre>";
        assert_eq!(table(html).unwrap(), ["Option|Example", "port|port: 80 "]);
        assert_eq!(table("<tr><td><h2>a</h2>b<td>c<tr><td>d<td>e"), None);
    }

    #[test]
    fn cells_that_reach_far_add_little() {
        let wide = "<tr><td colspan=65535 rowspan=65535>a<td>b".repeat(1000);
        let blank = "<tr><td>a<td>b<tr><td colspan=1000>a<td rowspan=65535>b".to_owned();
        for rows in [wide, blank] {
            let cells: usize = table(&format!("{rows}{}", "<tr>".repeat(10_000))).unwrap().iter().map(String::len).sum();
            assert!(cells < ADDED_MAX_BYTES, "{cells}");
        }
    }
}
