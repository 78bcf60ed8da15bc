//! DOCX: paragraphs, headings, lists, tables, notes, text boxes, formulas and charts of a Word document.
//!
//! Left out, as Word hides them too: deleted and hidden text, field codes, comments. Left out because they repeat: running heads
//! and feet.

mod body;
mod chart;
mod formula;
mod inserts;
mod numbering;
mod run;
mod styles;
mod xml;

use std::collections::HashMap;

use quick_xml::events::Event;

use super::document::{Document, Format};
use super::package::Package;
use super::{Refusal, title_or_name};
use body::Body;
use numbering::Numbering;
use run::{Run, symbol};
use styles::Styles;
use xml::{attribute, is_left_out, resolved, walk};

/// Reads a DOCX file.
pub(super) fn read(bytes: &[u8], name: &str) -> Result<Document, Refusal> {
    let mut package = Package::open(bytes)?;
    let main = package.main_part("wordprocessingml").unwrap_or_else(|| "word/document.xml".to_owned());
    let xml = package.text(&main)?;
    let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut part = |file: &str| package.text_if_any(&format!("{folder}/{file}"));
    let styles = Styles::read(&part("styles.xml")?)?;
    let numbering = Numbering::read(&part("numbering.xml")?)?;
    let mut notes = notes(&part("footnotes.xml")?, "footnote")?;
    notes.extend(self::notes(&part("endnotes.xml")?, "endnote")?);
    let (inserts, unread) = inserts::read(&mut package, &main)?;
    let core_title = title_of_core(&package.text_if_any("docProps/core.xml")?);

    let mut body = Body::new(styles, numbering, notes, inserts);
    walk(&main, &xml, |reader, event| body.visit(reader, event))?;
    let (mut draft, title) = body.finish();
    unread.into_iter().for_each(|warning| draft.warn(warning));
    if draft.is_empty() {
        return Err(Refusal::new("no text"));
    }
    let title = core_title.or(title).or_else(|| draft.opening_heading());
    Ok(draft.finish(Format::Docx, &title_or_name(title, name)))
}

/// The text of each note by `footnote:3`, say.
fn notes(xml: &str, kind: &str) -> Result<HashMap<String, String>, Refusal> {
    let mut notes = HashMap::new();
    let mut current: Option<(String, String)> = None;
    let mut is_text = false;
    let mut run = Run::default();
    walk(kind, xml, |reader, event| {
        let mut push = |run: &mut Run, words: &str| current.iter_mut().for_each(|(_, note)| run.push(note, words));
        match event {
            Event::Start(element) => match element.local_name().into_inner() {
                name if is_left_out(name) => {
                    reader.read_to_end(element.to_end().into_owned().name())?;
                }
                // Separators are notes too, of a type; real notes have none.
                name if name == kind && attribute(&element, "type").is_none() => {
                    current = attribute(&element, "id").map(|id| (format!("{kind}:{id}"), String::new()));
                }
                "t" => is_text = true,
                "r" => run.reset(),
                name @ ("vertAlign" | "vanish" | "strike" | "dstrike") => run.property(name, &element),
                "sym" => push(&mut run, &symbol(&element).map(String::from).unwrap_or_default()),
                "tab" | "br" => push(&mut run, " "),
                _ => {}
            },
            Event::Text(text) if is_text => push(&mut run, &text),
            Event::GeneralRef(reference) if is_text => push(&mut run, &resolved(&reference)),
            Event::End(element) => match element.local_name().into_inner() {
                "t" => is_text = false,
                "r" => run.reset(),
                "p" => push(&mut run, " "),
                name if name == kind => notes.extend(current.take()),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    })?;
    Ok(notes)
}

/// The title that someone gave the document; templates leave their own in.
fn title_of_core(xml: &str) -> Option<String> {
    let mut title = String::new();
    let mut is_title = false;
    let read = walk("docProps/core.xml", xml, |_, event| {
        match event {
            Event::Start(element) => is_title = element.local_name().into_inner() == "title",
            Event::Text(text) if is_title => title.push_str(&text),
            Event::GeneralRef(reference) if is_title => title.push_str(&resolved(&reference)),
            Event::End(_) => is_title = false,
            _ => {}
        }
        Ok(())
    });
    let generic = ["word document", "untitled", "document", "title"];
    read.ok().map(|()| title).filter(|title| !title.trim().is_empty() && !generic.contains(&title.trim().to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::package::tests::packed;
    use super::*;

    const TYPES: &str = r#"<Types><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"#;
    const STYLES: &str = r#"<w:styles xmlns:w="w"><w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>
        <w:style w:styleId="H2"><w:name w:val="heading 2"/></w:style><w:style w:styleId="C"><w:name w:val="Code"/></w:style></w:styles>"#;
    const NOTES: &str = r#"<w:footnotes xmlns:w="w"><w:footnote w:id="0" w:type="separator"><w:p/></w:footnote>
        <w:footnote w:id="2"><w:p><w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom>
        <w:r><w:rPr><w:rPrChange><w:rPr><w:strike/></w:rPr></w:rPrChange></w:rPr><w:t>A &amp; B, 10</w:t></w:r><w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t>6</w:t></w:r></w:p></w:footnote></w:footnotes>"#;

    const RELATIONS: &str = r#"<Relationships><Relationship Id="r1" Type="x/aFChunk" Target="/word/chunk.html"/>
        <Relationship Id="r2" Type="x/aFChunk" Target=".././word/chunk.html"/>
        <Relationship Id="r3" Type="x/hyperlink" Target="https://example.org/" TargetMode="External"/></Relationships>"#;

    fn document(body: &str) -> Document {
        let body = format!(r#"<?xml version="1.0"?><w:document xmlns:w="w" xmlns:mc="mc"><w:body>{body}</w:body></w:document>"#);
        let file = packed(&[
            ("[Content_Types].xml", TYPES.as_bytes()),
            ("word/document.xml", body.as_bytes()),
            ("word/styles.xml", STYLES.as_bytes()),
            ("word/footnotes.xml", NOTES.as_bytes()),
            ("word/_rels/document.xml.rels", RELATIONS.as_bytes()),
            ("word/chunk.html", b"<p>inserted <b>text</b>"),
        ]);
        let document = crate::extract::extract(&file, "a.docx", None).unwrap();
        document.check().unwrap();
        document
    }

    fn p(style: &str, text: &str) -> String {
        format!(r#"<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"#)
    }

    #[test]
    fn headings_code_and_notes() {
        let note = r#"<w:p><w:r><w:t>Text</w:t><w:footnoteReference w:id="2"/><w:tab/><w:t>&#xe9;</w:t></w:r></w:p>"#;
        let document = document(&[p("H1", "One"), note.to_owned(), p("H2", "Sub"), p("C", "let a;"), p("C", "  b")].concat());
        assert_eq!(document.text, "One\n\nText\té\n\nA & B, 10^6\n\nSub\n\n```\nlet a;\n  b\n```");
        assert_eq!(document.sections[1].headings, ["One", "Sub"]);
        assert_eq!(document.title, "One");
        assert!(document.pages.is_empty());
    }

    #[test]
    fn a_table_is_rows_and_a_nested_one_stays_in_its_cell() {
        let cell = |content: &str| format!("<w:tc>{content}</w:tc>");
        let nested = format!("<w:tbl><w:tr>{}{}</w:tr></w:tbl>", cell(&p("", "x")), cell(&p("", "y")));
        let table = format!(
            "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}</w:tr></w:tbl>",
            cell(&p("", "a")),
            cell(&[p("", "b"), p("", "c")].concat()),
            cell(&nested),
            cell("<w:p/>")
        );
        let document = document(&[p("", "before"), table, p("", "after")].concat());
        assert_eq!(document.text, "before\n\na | b c\nx y |\n\nafter");
        assert_eq!(document.blocks.len(), 1);
    }

    #[test]
    fn alternatives_deletions_and_field_codes_are_read_once_or_not() {
        let text_box = |text: &str| format!("<w:txbxContent>{}</w:txbxContent>", p("", text));
        let runs = format!(
            "<w:p><w:r><mc:AlternateContent><mc:Choice>{}</mc:Choice><mc:Fallback>{}</mc:Fallback></mc:AlternateContent></w:r>\
             <w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:instrText>PAGE</w:instrText><w:t>kept</w:t></w:r></w:p>",
            text_box("boxed"),
            text_box("boxed")
        );
        assert_eq!(document(&runs).text, "kept\n\nboxed");
    }

    #[test]
    fn chunks_stand_in_their_place_and_fractions_keep_their_line() {
        let twice = "<w:altChunk r:id=\"r1\"/><w:altChunk r:id=\"r2\"/>";
        let formula = "<w:p><m:oMath><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>b</m:t></m:r></m:den></m:f></m:oMath></w:p>";
        let document = document(&format!("{}{twice}{formula}", p("", "before")));
        assert_eq!(document.text, "before\n\ninserted text\n\ninserted text\n\na/b");
        assert_eq!(document.warnings, [""; 0]);
    }

    #[test]
    fn formulas_keep_their_signs() {
        let formula = |xml: &str| {
            // Words stand in a `t` each.
            let part = |part: &str| match part.rsplit_once('>') {
                Some((tag, words)) if !words.is_empty() => format!("<{tag}><t>{words}</t>"),
                _ => format!("<{part}"),
            };
            document(&format!("<w:p><oMath>{}</oMath></w:p>", xml.split('<').skip(1).map(part).collect::<String>())).text
        };
        assert_eq!(formula("<sSup><e><d><dPr></dPr><e>1+x</e></d></e><sup>n</sup></sSup>"), "(1+x)^n");
        assert_eq!(formula("<d><dPr><begChr val='['/><sepChr val=','/><endChr val=''/></dPr><e>a</e><e>b</e></d>"), "[a,b");
        let sum = "<nary><naryPr><chr val='∑'/></naryPr><sub>k=0</sub><sup>n</sup><e>k</e></nary>";
        assert_eq!(formula(sum), "∑_(k=0)^n k");
        assert_eq!(formula("<nary><sub/><sup>-∞</sup><e>x</e></nary>"), "∫^-∞ x");
        assert_eq!(formula("<f><num>a+b</num><den><d><e>c-1</e></d></den></f>"), "(a+b)/(c-1)");
        assert_eq!(formula("<rad><deg>3</deg><e>x+1</e></rad>"), "3√(x+1)");
        assert_eq!(formula("<func><fName><limLow><e>lim</e><lim>n→0</lim></limLow></fName><e>n</e></func>"), "lim_(n→0) n");
        assert_eq!(formula("<m><mr><e>a</e><e>b</e></mr><mr><e>c</e><e>d</e></mr></m>"), "a b c d");
        assert_eq!(formula("<d><dPr><sepChr val='--long'/></dPr><e>a</e><e>b</e></d>"), "(a--b)");
    }

    #[test]
    fn operands_of_formulas_stay_apart() {
        let r = |words: &str| format!("<r><t>{words}</t></r>");
        let of = |name: &str, operands: &[(&str, &str)]| {
            let operand = |(name, xml): &(&str, &str)| format!("<{name}>{xml}</{name}>");
            format!("<{name}>{}</{name}>", operands.iter().map(operand).collect::<String>())
        };
        let formula = |parts: &[&str]| document(&format!("<w:p><oMath>{}</oMath></w:p>", parts.concat())).text;
        let power = |base: &str, exponent: &str| of("sSup", &[("e", base), ("sup", r(exponent).as_str())]);
        let fraction = |num: &str, den: &str| of("f", &[("num", r(num).as_str()), ("den", r(den).as_str())]);
        assert_eq!(formula(&[&fraction("1", "2a")]), "1/(2a)");
        assert_eq!(formula(&[&fraction("1.5", "2"), &r("a")]), "1.5/2 a");
        assert_eq!(formula(&[&power(&fraction("a", "b"), "2")]), "(a/b)^2");
        assert_eq!(formula(&[&power(&r("x"), "2n"), &r("y")]), "x^(2n) y");
        assert_eq!(formula(&[&power(&r("x"), "n"), &r("+1")]), "x^n+1");
        assert_eq!(formula(&[&power(&r("x"), "n"), &fraction("ab", "c")]), "x^n (ab)/c");
        assert_eq!(formula(&[&power(&r("x"), "n"), &of("d", &[("e", r("a").as_str())])]), "x^n (a)");
        let sine = of("func", &[("fName", power(&r("sin"), "2").as_str()), ("e", r("x").as_str())]);
        assert_eq!(formula(&[&sine]), "sin^2 x");
    }

    #[test]
    fn charts_are_their_titles_and_values() {
        let point = |index: usize, value: &str| format!("<pt idx=\"{index}\"><v>{value}</v></pt>");
        let series = format!(
            "<ser><tx>{}</tx><cat>{}{}</cat><val>{}{}</val><plus>{}</plus></ser>",
            point(0, "Rye &amp; oats"),
            point(0, "2023"),
            point(1, "2024"),
            point(0, "4.4000000000000004"),
            point(1, "5"),
            point(0, "9")
        );
        let title = "<title><tx><rich><t>Sacks</t><t> sold</t></rich></tx></title>";
        let chart = chart::text(&format!("<chartSpace>{title}{series}</chartSpace>")).unwrap();
        assert_eq!(chart, "Sacks sold\nRye & oats: 2023 = 4.4; 2024 = 5");
        let lines = "<title><rich><p><t>Sacks of flour</t></p><p><t>in</t><br/><t>thousands</t></p></rich></title>";
        let label = point(0, "Rye");
        let label = format!("<dLbls><dLbl><tx><strRef><strCache>{label}</strCache></strRef></tx></dLbl></dLbls>");
        let dated = |format: &str| {
            let days = format!("<cat><formatCode>{format}</formatCode>{}</cat>", point(0, "44927"));
            let values = format!("<val><formatCode>General</formatCode>{}</val>", point(0, "0.25"));
            chart::text(&format!("<chartSpace>{lines}<ser>{label}{days}{values}</ser></chartSpace>")).unwrap()
        };
        assert_eq!(dated("m/d/yyyy"), "Sacks of flour in thousands\n0.25");
        for number in ["General", "0;[Red]-0", "0 &quot;days&quot;"] {
            assert_eq!(dated(number), "Sacks of flour in thousands\n44927 = 0.25");
        }
        let file = packed(&[
            ("word/document.xml", br#"<document><p><r><t>before</t></r></p><p><r><chart id="r1"/></r></p></document>"#),
            ("word/_rels/document.xml.rels", br#"<R><R Id="r1" Type="x/chart" Target="charts/a.xml"/></R>"#),
            ("word/charts/a.xml", b"<chartSpace><title><t>Sacks</t></title></chartSpace>"),
        ]);
        assert_eq!(read(&file, "a.docx").unwrap().text, "before\n\nSacks");
    }

    #[test]
    fn a_part_that_cannot_be_inserted_costs_a_warning_and_not_the_document() {
        let read = |relations: &str| {
            let relations = format!("<Relationships>{relations}</Relationships>");
            let body = r#"<w:document xmlns:w="w"><w:body><w:p><w:r><w:t>kept</w:t></w:r></w:p><w:altChunk r:id="r1"/></w:body></w:document>"#;
            let parts = [
                ("word/document.xml", body.as_bytes()),
                ("word/_rels/document.xml.rels", relations.as_bytes()),
                ("word/broken.xml", b"<a></b>"),
            ];
            let document = super::read(&packed(&parts), "a.docx").unwrap();
            assert_eq!(document.text, "kept");
            document.warnings
        };
        let missing = r#"<Relationship Id="r1" Type="x/aFChunk" Target="gone.html"/>"#;
        let not_there = "an inserted part is not read: `word/gone.html`: damaged: no `word/gone.html` in the zip archive";
        assert_eq!(read(missing), [not_there]);
        let external = r#"<Relationship Id="r1" Type="x/aFChunk" Target="https://example.org/a.html" TargetMode="External"/>"#;
        assert_eq!(read(external), ["an inserted part is not read: `https://example.org/a.html`: outside of the file"]);
        let other = r#"<Relationship Id="r1" Type="x/aFChunk" Target="chunk.docx"/>"#;
        assert_eq!(read(other), ["an inserted part is not read: `word/chunk.docx`: not HTML"]);
        let diagram = r#"<Relationship Id="r2" Type="x/diagramData" Target="broken.xml"/>"#;
        let warning = &read(&[diagram, missing].concat())[0];
        assert!(warning.starts_with("an inserted part is not read: `word/broken.xml`: damaged: `diagram`: "), "{warning}");
        assert!(warning.ends_with(" (and 1 more)"), "{warning}");
    }

    #[test]
    fn what_is_raised_hidden_or_a_symbol_says_what_it_shows() {
        let run = |properties: &str, text: &str| {
            format!("<w:r><w:rPr>{properties}</w:rPr><w:t xml:space=\"preserve\">{text}</w:t></w:r>")
        };
        let raised = |text: &str| run("<w:vertAlign w:val=\"superscript\"/>", text);
        let lowered = |text: &str| run("<w:vertAlign w:val=\"subscript\"/>", text);
        let plain = |text: &str| run("", text);
        let of = |runs: &[String]| document(&format!("<w:p>{}</w:p>", runs.concat())).text;
        assert_eq!(
            of(&[plain("Count 10"), raised("6"), plain(" per m"), raised("2"), plain(" s"), raised("−1")]),
            "Count 10^6 per m2 s^−1"
        );
        assert_eq!(of(&[plain("10"), raised("-"), raised("12"), plain(" is the 1"), raised("st")]), "10^-12 is the 1st");
        assert_eq!(of(&[plain("H"), lowered("2"), plain("SO"), lowered("4"), raised("2-")]), "H2SO4^2-");
        assert_eq!(of(&[plain("2"), raised("n"), plain(" is no 2"), raised("e")]), "2^n is no 2e");
        assert_eq!(of(&[plain("seen"), run("<w:vanish/>", " hidden"), run("<w:vanish w:val=\"0\"/>", " too")]), "seen too");
        assert_eq!(
            of(&[plain("costs "), run("<w:strike/>", "50"), run("<w:dstrike/><w:strike w:val=\"0\"/>", "60"), plain("75")]),
            "costs 75"
        );
        let symbol = |font: &str, code: &str| format!("<w:r><w:sym w:font=\"{font}\" w:char=\"{code}\"/></w:r>");
        let symbols = [("Symbol", "F0B1"), ("Symbol", "F061"), ("Symbol", "00B3"), ("Wingdings", "F0E0"), ("Arial", "00B5")];
        let symbols = symbols.map(|(font, code)| symbol(font, code)).concat();
        assert_eq!(
            of(&[plain("5"), symbols, symbol("Webdings", "F061"), symbol("Symbol", "FFFF"), symbol("Symbol", "x")]),
            "5±α≥→µ"
        );
    }

    #[test]
    fn cells_stay_below_their_headings() {
        let cell = |properties: &str, text: &str| format!("<w:tc><w:tcPr>{properties}</w:tcPr>{}</w:tc>", p("", text));
        let row = |properties: &str, cells: &[String]| format!("<w:tr><w:trPr>{properties}</w:trPr>{}</w:tr>", cells.concat());
        let goes_on = "<w:vMerge/>";
        let long = "x".repeat(200);
        let table = format!(
            "<w:tbl>{}</w:tbl>",
            [
                row("", &[cell("", "Region"), cell("", "Product"), cell("", "Price")]),
                row("", &[cell("<w:vMerge w:val=\"restart\"/>", "North"), cell("", "Rye"), cell("", "3")]),
                row("", &[cell(goes_on, ""), cell("", "Oats"), cell("", "4")]),
                row("", &[cell(goes_on, ""), cell("", "Corn"), cell("<w:vMerge w:val=\"restart\"/>", &long)]),
                row("", &[cell("<w:gridSpan w:val=\"2\"/>", "Sum"), cell(goes_on, "")]),
                row("<w:gridBefore w:val=\"2\"/>", &[cell("<w:tcPrChange><w:tcPr><w:vMerge/></w:tcPr></w:tcPrChange>", "8")]),
            ]
            .concat()
        );
        let rows =
            format!("Region | Product | Price\nNorth | Rye | 3\nNorth | Oats | 4\nNorth | Corn | {long}\nSum |  |\n|  | 8");
        assert_eq!(document(&table).text, rows);
    }

    #[test]
    fn pages_are_those_that_word_rendered() {
        let pages = |second: &str| {
            let first = "<w:p><w:r><w:t>one</w:t><w:br w:type=\"page\"/></w:r></w:p>";
            document(&format!("{first}<w:p><w:r>{second}<w:t>two</w:t></w:r></w:p>")).pages.len()
        };
        assert_eq!((pages(""), pages("<w:lastRenderedPageBreak/>")), (0, 2));
    }

    #[test]
    fn page_breaks_are_counted_once() {
        let body = "<w:p><w:r><w:t>one</w:t><w:br w:type=\"page\"/></w:r></w:p>\
             <w:p><w:r><w:lastRenderedPageBreak/><w:t>two, and</w:t><w:lastRenderedPageBreak/><w:t>three</w:t></w:r></w:p>";
        let document = document(body);
        assert_eq!(document.text, "one\n\ntwo, and\nthree");
        let pages: Vec<_> = document.pages.iter().map(|page| (page.start, page.number)).collect();
        assert_eq!(pages, [(0, 1), (5, 2), (14, 3)]);
    }

    #[test]
    fn damage_is_named() {
        let broken = packed(&[("[Content_Types].xml", TYPES.as_bytes()), ("word/document.xml", b"<w:p><w:r></w:p>")]);
        let reason = read(&broken, "a.docx").unwrap_err().to_string();
        assert!(reason.starts_with("damaged: `word/document.xml`: "), "{reason}");
        let none = packed(&[("word/other.xml", b"")]);
        assert_eq!(read(&none, "a.docx").unwrap_err().to_string(), "damaged: no `word/document.xml` in the zip archive");
        let empty = packed(&[("word/document.xml", b"<w:document><w:body><w:p/></w:body></w:document>")]);
        assert_eq!(read(&empty, "a.docx").unwrap_err().to_string(), "no text");
    }
}
