//! CSV and its relatives. The first row that is as wide as most, or but for one cell, names the columns, unless all rows are
//! numbers alone; each row below it becomes a record of `column: value` lines, so that a row says what it means wherever a chunk
//! begins, and chunks are cut between rows.

use ::csv::{ReaderBuilder, StringRecord};

use super::document::{Document, Format};
use super::draft::{Draft, one_line};
use super::encoding::{self, Decoded};
use super::front_matter;
use super::{Refusal, title_or_name};

/// What may stand between two cells.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// Reads a table in whatever encoding it is.
pub(super) fn read(bytes: &[u8], name: &str, declared_charset: Option<&str>) -> Result<Document, Refusal> {
    let Decoded { text, warning } = encoding::decode(bytes, declared_charset)?;
    front_matter::require_no_access(&text)?;
    let (text, layout) = Layout::of(&text);
    let mut draft = Draft::default();
    let mut columns: Option<Vec<String>> = None;
    let mut is_empty = true;
    for row in records(text, layout.delimiter) {
        let row = row.map_err(Refusal::damaged)?;
        let cells = row.iter().map(one_line);
        let Some(columns) = columns.as_ref().filter(|columns| !columns.is_empty()) else {
            if columns.is_none() && layout.is_heading(row.len()) && !layout.is_of_numbers {
                columns = Some(cells.collect());
                continue;
            }
            // What stands above the table, or all of one without names.
            if layout.is_heading(row.len()) {
                (columns, is_empty) = (Some(Vec::new()), false);
            }
            draft.paragraph(&cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" | "));
            continue;
        };
        let lines = cells.enumerate().filter(|(_, cell)| !cell.is_empty()).map(|(place, cell)| match columns.get(place) {
            Some(column) if !column.is_empty() => format!("{column}: {cell}"),
            _ => cell,
        });
        is_empty = false;
        draft.paragraph(&lines.collect::<Vec<_>>().join("\n"));
    }
    if is_empty {
        draft.paragraph(&columns.unwrap_or_default().join(" | "));
    }
    if let Some(warning) = warning {
        draft.warn(warning);
    }
    Ok(draft.finish(Format::Csv, &title_or_name(None, name)))
}

fn is_number(cell: &str) -> bool {
    cell.contains(|letter: char| letter.is_ascii_digit())
        && cell.chars().all(|letter| letter.is_ascii_digit() || " .,:/+-%".contains(letter))
}

/// How a table is written.
struct Layout {
    delimiter: u8,
    /// Cells of the heading, where most rows have equally many.
    columns: Option<usize>,
    /// Whether the first rows hold numbers alone, a row that could name the columns too.
    is_of_numbers: bool,
}

impl Layout {
    /// The table without Excel's line that names the delimiter, and how it is written.
    fn of(text: &str) -> (&str, Self) {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        if let [delimiter] = first.trim_end_matches('\r').strip_prefix("sep=").unwrap_or_default().as_bytes() {
            return (rest, Self::with(rest, *delimiter).0);
        }
        // Of delimiters that part equally well, the first.
        let layouts = DELIMITERS.into_iter().rev().map(|delimiter| Self::with(text, delimiter as u8));
        let best = layouts.max_by_key(|(_, fitness)| *fitness);
        (text, best.map_or(Self { delimiter: b',', columns: None, is_of_numbers: false }, |(layout, _)| layout))
    }

    /// Whether a row of so many cells may name the columns. A name may be missing, as where rows begin with their numbers or end
    /// with a delimiter.
    fn is_heading(&self, width: usize) -> bool {
        self.columns.is_none_or(|columns| width >= columns.saturating_sub(1).max(columns.min(2)))
    }

    /// What a delimiter makes of the first rows, and how well it parts them: what stands within cells, as commas of numbers or
    /// sentences, parts some rows into more cells, and not the heading.
    fn with(text: &str, delimiter: u8) -> (Self, [usize; 3]) {
        const ROWS: usize = 20;
        let rows: Vec<StringRecord> = records(text, delimiter).take(ROWS).filter_map(Result::ok).collect();
        // Times and years as `2019/20` above plain numbers name them.
        let is_name = |(place, cell): (usize, &str)| {
            let is_such = |cell: &str| cell.contains([':', '/']);
            is_such(cell) && !rows.iter().skip(1).any(|row| row.get(place).is_some_and(is_such))
        };
        let is_named = rows.first().is_some_and(|row| row.iter().enumerate().any(is_name));
        // A corner that is empty is one of headings.
        let is_of_numbers = !is_named
            && rows.iter().flatten().enumerate().all(|(place, cell)| is_number(cell) || (place > 0 && cell.trim().is_empty()));
        let widths: Vec<usize> = rows.iter().map(StringRecord::len).collect();
        let alike = |width| widths.iter().filter(|other| **other == width).count();
        let columns = widths.iter().copied().find(|width| alike(*width) * 2 > widths.len());
        let rows = columns.filter(|columns| *columns > 1).map_or(0, alike);
        (Self { delimiter, columns, is_of_numbers }, [rows, columns.unwrap_or(1), widths.first().copied().unwrap_or(0)])
    }
}

/// The rows of a table. Between tabs a quotation mark may be one of inches, which never ends.
fn records(text: &str, delimiter: u8) -> impl Iterator<Item = ::csv::Result<StringRecord>> {
    let is_quoted = delimiter != b'\t' || text.matches('"').count().is_multiple_of(2);
    let mut reader = ReaderBuilder::new();
    reader.has_headers(false).flexible(true).quoting(is_quoted).delimiter(delimiter);
    reader.from_reader(text.as_bytes()).into_records()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], name: &str) -> String {
        let document = read(bytes, name, None).unwrap();
        document.check().unwrap();
        assert_eq!((document.format, document.title.as_str()), (Format::Csv, name));
        document.text
    }

    #[test]
    fn a_row_is_a_record_that_names_its_columns() {
        let table =
            "\u{feff}Name,\"Price, EUR\",Note\r\nBolt,3,\"two\nlines, \"\"quoted\"\"\"\r\n\r\nNut,,\r\nNail,1,long,extra\r\n";
        let records = [
            "Name: Bolt\nPrice, EUR: 3\nNote: two lines, \"quoted\"",
            "Name: Nut",
            "Name: Nail\nPrice, EUR: 1\nNote: long\nextra",
        ];
        assert_eq!(text(table.as_bytes(), "a.csv"), records.join("\n\n"));
        assert_eq!(text(b"a;b;c\n1,5;2;3\n", "a.csv"), "a: 1,5\nb: 2\nc: 3");
        assert_eq!(text(b"a\tb\n1\t2\n", "a.tsv"), "a: 1\nb: 2");
        assert_eq!(text(b"caf\xe9,th\xe9\nnoir,vert\n", "a.csv"), "caf\u{e9}: noir\nth\u{e9}: vert");
    }

    #[test]
    fn most_rows_say_how_a_table_is_written() {
        assert_eq!(
            text(b"Prices, March, EUR\n\nname;price\nBolt;1,5\nNut;2,5\n", "a.csv"),
            "Prices, March, EUR\n\nname: Bolt\nprice: 1,5\n\nname: Nut\nprice: 2,5"
        );
        assert_eq!(text(b"sep=;\r\na;b,c\r\n1;2,3\r\n", "a.csv"), "a: 1\nb,c: 2,3");
        assert_eq!(
            text(b"id;note\n1;x, y, z\n2;x\n3;x, y\n", "a.csv"),
            "id: 1\nnote: x, y, z\n\nid: 2\nnote: x\n\nid: 3\nnote: x, y"
        );
        assert_eq!(text(b"x;y\n1,5;2,5\n1,6;2,6\n", "a.csv"), "x: 1,5\ny: 2,5\n\nx: 1,6\ny: 2,6");
        assert_eq!(
            text(b"name;address\nAnna;Musterstr. 1, 12345 Berlin, Deutschland\n", "a.csv"),
            "name: Anna\naddress: Musterstr. 1, 12345 Berlin, Deutschland"
        );
        assert_eq!(text(b"a\tb\nx\t1, 2, 3\ny\t4, 5, 6\n", "a.tsv"), "a: x\nb: 1, 2, 3\n\na: y\nb: 4, 5, 6");
        assert_eq!(text(b"id,tags\n1,a;b;c\n2,d;e;f\n", "a.csv"), "id: 1\ntags: a;b;c\n\nid: 2\ntags: d;e;f");
        assert_eq!(
            text(b"id,url\n1,http://x/?a=1;b=2;c=3\n2,http://x/?a=4;b=5;c=6\n", "a.csv"),
            "id: 1\nurl: http://x/?a=1;b=2;c=3\n\nid: 2\nurl: http://x/?a=4;b=5;c=6"
        );
        assert_eq!(text(b"a\tb\n\"5 in\t1\nx\t2\n", "a.tsv"), "a: \"5 in\nb: 1\n\na: x\nb: 2");
        assert_eq!(text(b"a,b,c\n1,2,3,\n4,5,6,\n", "a.csv"), "a: 1\nb: 2\nc: 3\n\na: 4\nb: 5\nc: 6");
        assert_eq!(text(b"a,b,c,d\n1,2\n3,4\n", "a.csv"), "a: 1\nb: 2\n\na: 3\nb: 4");
        assert_eq!(text(b"a,b,c\n1\n1,2\n1,2,3,4\n", "a.csv"), "a: 1\n\na: 1\nb: 2\n\na: 1\nb: 2\nc: 3\n4");
    }

    #[test]
    fn what_is_hardly_a_table_keeps_its_words() {
        assert_eq!(text(b"a,b\n", "a.csv"), "a | b");
        assert_eq!(text(b"2019,2020\na,b\n", "a.csv"), "2019: a\n2020: b");
        assert_eq!(text(b"1,100,-2.5\n2,200,3\n", "a.csv"), "1 | 100 | -2.5\n\n2 | 200 | 3");
        assert_eq!(text(b"1,,5\n2,3,6\n4,5,7\n", "a.csv"), "1 | 5\n\n2 | 3 | 6\n\n4 | 5 | 7");
        assert_eq!(text(b"2024-01-01 10:00,5\n1/2/2024 10:00,6\n", "a.csv"), "2024-01-01 10:00 | 5\n\n1/2/2024 10:00 | 6");
        assert_eq!(text(b"00:00,06:00\n5,6\n", "a.csv"), "00:00: 5\n06:00: 6");
        assert_eq!(text(b"2019/20,2020/21\n5,6\n", "a.csv"), "2019/20: 5\n2020/21: 6");
        assert_eq!(text(b",2023,2024\n1,5,6\n2,,7\n", "a.csv"), "1\n2023: 5\n2024: 6\n\n2\n2024: 7");
        assert_eq!(text(b"word\nnext\n", "a.csv"), "word: next");
        assert_eq!(text(b",b\n1,\"never closed\n2,3\n", "a.csv"), "1\nb: never closed 2,3");
    }
}
