//! CSV and its relatives. The first row names the columns; each row below it becomes a record of `column: value` lines, so that
//! a row says what it means wherever a chunk begins, and chunks are cut between rows.

use ::csv::ReaderBuilder;

use super::document::{Document, Format};
use super::draft::{Draft, one_line};
use super::encoding::{self, Decoded};
use super::{Refusal, title_or_name};

/// What may stand between two cells.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// Reads a table in whatever encoding it is.
pub(super) fn read(bytes: &[u8], name: &str, declared_charset: Option<&str>) -> Result<Document, Refusal> {
    let Decoded { text, warning } = encoding::decode(bytes, declared_charset)?;
    let text = text.trim_start_matches('\u{feff}');
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter(text)).from_reader(text.as_bytes());
    let mut draft = Draft::default();
    let mut columns: Option<Vec<String>> = None;
    for row in reader.records() {
        let row = row.map_err(Refusal::damaged)?;
        let cells = row.iter().map(one_line);
        let Some(columns) = &columns else {
            columns = Some(cells.collect());
            continue;
        };
        let lines = cells.enumerate().filter(|(_, cell)| !cell.is_empty()).map(|(place, cell)| match columns.get(place) {
            Some(column) if !column.is_empty() => format!("{column}: {cell}"),
            _ => cell,
        });
        draft.paragraph(&lines.collect::<Vec<_>>().join("\n"));
    }
    if draft.is_empty() {
        draft.paragraph(&columns.unwrap_or_default().join(" | "));
    }
    if let Some(warning) = warning {
        draft.warn(warning);
    }
    Ok(draft.finish(Format::Csv, &title_or_name(None, name)))
}

/// What parts the most cells of the first line, quoted ones left out.
fn delimiter(text: &str) -> u8 {
    let line = text.lines().next().unwrap_or_default();
    let bare: String = line.split('"').step_by(2).collect();
    let most = DELIMITERS.into_iter().rev().max_by_key(|delimiter| bare.matches(*delimiter).count());
    most.unwrap_or(',') as u8
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
    fn what_is_hardly_a_table_keeps_its_words() {
        assert_eq!(text(b"a,b\n", "a.csv"), "a | b");
        assert_eq!(text(b"word\nnext\n", "a.csv"), "word: next");
        assert_eq!(text(b",b\n1,\"never closed\n2,3\n", "a.csv"), "1\nb: never closed 2,3");
    }
}
