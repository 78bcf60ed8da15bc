//! What a file is: by its first bytes, by what is in the archive, by its markup, and only then by its name.

use super::document::Format;
use super::package::Package;
use super::{Refusal, file_name};

/// First bytes of formats that are not read here. Text formats have none: see [`by_name`].
const MAGICS: [(&[u8], &str); 27] = [
    (b"\x89PNG\r\n", "png image"),
    (b"\xff\xd8\xff", "jpeg image"),
    (b"GIF87a", "gif image"),
    (b"GIF89a", "gif image"),
    (b"II*\0", "tiff image"),
    (b"MM\0*", "tiff image"),
    (b"8BPS", "psd image"),
    (b"AT&TFORM", "djvu"),
    (b"PK\x05\x06", "zip archive (empty)"),
    (b"\x1f\x8b", "gzip archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ\0", "xz archive"),
    (b"\x28\xb5\x2f\xfd", "zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (b"Rar!\x1a\x07", "rar archive"),
    (b"\x7fELF", "program"),
    (b"\xca\xfe\xba\xbe", "program"),
    (b"\xcf\xfa\xed\xfe", "program"),
    (b"\0asm", "program"),
    (b"SQLite format 3\0", "sqlite database"),
    (b"PAR1", "parquet"),
    (b"ID3", "mp3 audio"),
    (b"OggS", "ogg audio"),
    (b"fLaC", "flac audio"),
    (b"RIFF", "riff media"),
    (b"\x1aE\xdf\xa3", "matroska video"),
    (b"wOF2", "font"),
];
/// First characters of such formats that are text.
const TEXT_MAGICS: [(&[u8], &str); 2] = [(b"{\\rtf", "rtf"), (b"%!PS", "postscript")];

/// Decides the format, or says which format it is that is not read.
pub(super) fn format(bytes: &[u8], name: &str) -> Result<Format, Refusal> {
    let extension = extension(name);
    let extension = extension.as_str();
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::new("empty"));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return archive(bytes, extension);
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Err(compound_file(bytes));
    }
    // Most magics are letters, with which a text may begin as well: `ID3 tags hold the title of a song`.
    let binary = if is_text(bytes) { &[][..] } else { &MAGICS };
    if let Some((_, format)) = TEXT_MAGICS.iter().chain(binary).find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(Refusal::unsupported(format));
    }
    if !is_text(bytes) && bytes.get(4..8) == Some(b"ftyp") {
        return Err(Refusal::unsupported("mp4 media"));
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Err(Refusal::unsupported("tar archive"));
    }
    if is_pdf(bytes, extension) {
        return Ok(Format::Pdf);
    }
    match markup(bytes) {
        // A Markdown file may well start with a tag.
        Some(Markup::Html) if !is_markdown(extension) => return Ok(Format::Html),
        Some(Markup::WordXml) => return Err(Refusal::unsupported("Word XML")),
        Some(Markup::Xml) if !matches!(extension, "html" | "htm" | "xhtml") && !is_markdown(extension) => {
            return Err(Refusal::unsupported("xml"));
        }
        _ => {}
    }
    by_name(extension)
}

/// Whether nothing at the beginning is for machines only.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().take(512).all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}

/// A PDF may have junk before its header; a text about PDFs may hold the header too, but not the end of one.
fn is_pdf(bytes: &[u8], extension: &str) -> bool {
    if bytes.starts_with(b"%PDF-") {
        return true;
    }
    let head = &bytes[..bytes.len().min(64 << 10)];
    let has_header = head.windows(5).any(|five| five == b"%PDF-");
    has_header && (extension == "pdf" || contains(bytes, b"\nendobj"))
}

fn archive(bytes: &[u8], extension: &str) -> Result<Format, Refusal> {
    let mut package = Package::open(bytes)?;
    let has = |package: &Package<'_>, folder: &str| package.names().any(|name| name.starts_with(folder));
    let format = if has(&package, "word/") || package.main_part("wordprocessingml").is_some() {
        return Ok(Format::Docx);
    } else if has(&package, "ppt/") {
        "pptx".to_owned()
    } else if has(&package, "xl/") {
        "xlsx".to_owned()
    } else if has(&package, "visio/") {
        "vsdx".to_owned()
    } else if has(&package, "mimetype") {
        let mime = package.text("mimetype").unwrap_or_default();
        match mime.trim() {
            "application/epub+zip" => "epub".to_owned(),
            "application/vnd.oasis.opendocument.text" => "odt".to_owned(),
            "application/vnd.oasis.opendocument.spreadsheet" => "ods".to_owned(),
            "application/vnd.oasis.opendocument.presentation" => "odp".to_owned(),
            _ => "OpenDocument".to_owned(),
        }
    } else if matches!(extension, "epub" | "odt" | "ods" | "odp" | "jar" | "apk" | "whl" | "docx") {
        format!("zip archive named .{extension}")
    } else {
        "zip archive".to_owned()
    };
    Err(Refusal::unsupported(&format))
}

/// The old Office container. Office also wraps encrypted new files in it.
fn compound_file(bytes: &[u8]) -> Refusal {
    let holds = |stream: &str| contains(bytes, &stream.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    match () {
        () if holds("EncryptedPackage") => Refusal::password_protected(),
        () if holds("WordDocument") => Refusal::unsupported("doc (Word 97-2003)"),
        () if holds("PowerPoint Document") => Refusal::unsupported("ppt (PowerPoint 97-2003)"),
        () if holds("Workbook") || holds("Book") => Refusal::unsupported("xls (Excel 97-2003)"),
        () if holds("__substg1.0_") => Refusal::unsupported("msg (Outlook)"),
        () => Refusal::unsupported("OLE compound file"),
    }
}

enum Markup {
    Html,
    WordXml,
    Xml,
}

/// What the file starts with after white space, comments and the XML declaration; UTF-16 is seen through.
fn markup(bytes: &[u8]) -> Option<Markup> {
    let head: Vec<u8> = bytes.iter().take(128 << 10).copied().filter(|byte| *byte != 0).collect();
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let mut rest = head.trim_start_matches(|char: char| !char.is_ascii_graphic());
    let mut is_xml = false;
    loop {
        let end = match rest {
            _ if rest.starts_with("<!--") => rest.find("-->").map(|at| at + 3),
            _ if rest.starts_with("<?") => {
                is_xml |= rest.starts_with("<?xml");
                rest.find('>').map(|at| at + 1)
            }
            _ => break,
        };
        rest = rest[end?..].trim_start();
    }
    let starts = |tag: &str| rest.starts_with(tag);
    match () {
        () if ["<!doctype html", "<html", "<head", "<body", "<title", "<meta"].iter().any(|tag| starts(tag)) => {
            Some(Markup::Html)
        }
        () if is_xml && (rest.contains("<pkg:package") || rest.contains("<w:worddocument")) => Some(Markup::WordXml),
        () if is_xml => Some(Markup::Xml),
        () => None,
    }
}

/// Whether a file is by its name of no format that is read; by its content it may be.
pub(crate) fn is_unsupported_by_name(name: &str) -> bool {
    // What claims to be a PDF or DOCX may be one.
    let extension = extension(name);
    by_name(&extension).is_err_and(|refusal| refusal == Refusal::unsupported(&extension))
}

fn by_name(extension: &str) -> Result<Format, Refusal> {
    match extension {
        "pdf" => Err(Refusal::damaged("no `%PDF-` header")),
        "docx" | "docm" | "dotx" => Err(Refusal::damaged(format_args!("a {extension} file that is not a zip archive"))),
        "html" | "htm" | "xhtml" => Ok(Format::Html),
        _ if is_markdown(extension) => Ok(Format::Markdown),
        "csv" | "tsv" => Ok(Format::Csv),
        "doc" | "eml" | "epub" | "gif" | "ipynb" | "jpeg" | "jpg" | "mbox" | "mht" | "mhtml" | "msg" | "odp" | "ods" | "odt"
        | "pages" | "png" | "ppt" | "pptx" | "rtf" | "svg" | "tif" | "tiff" | "xls" | "xlsx" | "xml" | "zip" => {
            Err(Refusal::unsupported(extension))
        }
        _ => Ok(Format::Text),
    }
}

fn is_markdown(extension: &str) -> bool {
    let is_plain =
        matches!(extension, "md" | "markdown" | "markdn" | "mdown" | "mdtext" | "mdtxt" | "mdwn" | "mkd" | "mkdn" | "mkdown");
    is_plain || matches!(extension, "mdx" | "qmd" | "rmd")
}

pub(super) fn extension(name: &str) -> String {
    file_name(name).rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase())
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(bytes: &[u8], name: &str) -> String {
        format(bytes, name).map_or_else(|refusal| refusal.to_string(), |format| format!("{format:?}"))
    }

    #[test]
    fn content_decides_before_the_name() {
        assert_eq!(outcome(b"%PDF-1.4 ...", "a.txt"), "Pdf");
        assert_eq!(outcome(b"junk\n%PDF-1.4\n1 0 obj\nendobj", "a"), "Pdf");
        assert_eq!(outcome(b"A file starts with `%PDF-1.4`.", "about.md"), "Markdown");
        assert_eq!(outcome(b"<?xml version='1.0'?>\n<!-- a -->\n<!DOCTYPE HTML>", "a.txt"), "Html");
        assert_eq!(outcome(b"\xff\xfe<\0h\0t\0m\0l\0>\0", "page"), "Html");
        assert_eq!(outcome(b"<html>", "a.md"), "Markdown");
        assert_eq!(outcome(b"<?xml version='1.0'?>\n<a/>\n\nis how XML begins.", "a.md"), "Markdown");
        assert_eq!(outcome(b"<?php echo 1;", "a.php"), "Text");
        assert_eq!(outcome(b"Hello", "README"), "Text");
        assert_eq!(outcome(b"a;b\n1;2", "a.CSV"), "Csv");
        assert_eq!(outcome(b"{\"a\": 1}", "a.json"), "Text");
        for text in ["ID3 tags hold the title of a song.", "RIFF is a container.", "BZh begins a bzip2 file.", "The ftyp box"] {
            assert_eq!(outcome(text.as_bytes(), "a.md"), "Markdown", "{text}");
        }
        assert_eq!(outcome(b"ID3\x03\0 and on", "a.txt"), "unsupported format: mp3 audio");
        assert_eq!(outcome(b"Hello", "dir.d/page.HTM"), "Html");
    }

    #[test]
    fn what_is_not_read_is_named() {
        assert_eq!(outcome(b" \n", "a.md"), "empty");
        assert_eq!(outcome(b"", "a.pdf"), "empty");
        assert_eq!(outcome(b"\x89PNG\r\n\x1a\n", "a.md"), "unsupported format: png image");
        assert_eq!(outcome(b"{\\rtf1 a}", "a.doc"), "unsupported format: rtf");
        assert_eq!(outcome(b"{\\rtf1 \x02}", "a.txt"), "unsupported format: rtf");
        assert_eq!(outcome(b"%!PS-Adobe-3.0\n\x04", "a.txt"), "unsupported format: postscript");
        assert_eq!(outcome(b"From: a\n\nHello", "a.EML"), "unsupported format: eml");
        assert_eq!(outcome(b"<?xml version='1.0'?><a/>", "a"), "unsupported format: xml");
        assert_eq!(outcome(b"no header", "a.pdf"), "damaged: no `%PDF-` header");
        assert_eq!(outcome(b"PK\x03\x04 cut", "a.docx"), "damaged: not a whole zip archive");
    }

    #[test]
    fn an_encrypted_office_file_is_password_protected() {
        let mut bytes = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
        bytes.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(outcome(&bytes, "a.docx"), "password-protected");
    }
}
