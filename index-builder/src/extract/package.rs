//! A zip archive of parts (Office Open XML), read with a cap on everything: sizes that an archive declares are not believed.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::Refusal;

/// Most entries of an archive.
const ENTRIES_MAX: usize = 10_000;
/// Most inflated bytes of one part.
const PART_MAX_BYTES: u64 = 64 << 20;
/// Most inflated bytes of all parts that are read.
const PACKAGE_MAX_BYTES: u64 = 256 << 20;
/// XML shrinks by 10 to 50; beyond this ratio someone is lying in wait.
const RATIO_MAX: u64 = 200;
/// Small parts may be as repetitive as they like.
const RATIO_FREE_BYTES: u64 = 4 << 20;

/// An opened archive.
pub(super) struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    left_bytes: u64,
}

impl<'a> Package<'a> {
    /// Opens an archive; only its directory is read.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| Refusal::damaged("not a whole zip archive"))?;
        if archive.len() > ENTRIES_MAX {
            return Err(Refusal::damaged(format_args!("{} entries in a zip archive; at most {ENTRIES_MAX}", archive.len())));
        }
        Ok(Self { archive, left_bytes: PACKAGE_MAX_BYTES })
    }

    /// The names of all parts.
    pub(super) fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.archive.file_names().filter_map(Result::ok)
    }

    /// The part that the package's relations call the document, where its content type mentions `kind`.
    pub(super) fn main_part(&mut self, kind: &str) -> Option<String> {
        let types = self.text("[Content_Types].xml").ok()?;
        if !types.contains(kind) {
            return None;
        }
        let relations = self.text("_rels/.rels").ok()?;
        let relation = relations.split('<').find(|tag| tag.starts_with("Relationship ") && tag.contains("/officeDocument\""))?;
        let target = relation.split_once("Target=\"")?.1.split('"').next()?;
        Some(target.trim_start_matches('/').to_owned())
    }

    /// Inflates a part; none of that name is an error too.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Refusal> {
        let broken = || Refusal::damaged(format_args!("`{name}` cannot be inflated"));
        let part = self.archive.by_name(name).map_err(|cause| match cause {
            zip::result::ZipError::FileNotFound => Refusal::damaged(format_args!("no `{name}` in the zip archive")),
            _ => broken(),
        })?;
        if part.encrypted() {
            return Err(Refusal::password_protected());
        }
        let packed = part.compressed_size().max(1);
        let most = PART_MAX_BYTES.min(self.left_bytes);
        let mut bytes = Vec::new();
        part.take(most + 1).read_to_end(&mut bytes).map_err(|_| broken())?;
        let inflated = bytes.len() as u64;
        // What is refused below is paid for, too: a document may go on without this part.
        self.left_bytes = self.left_bytes.saturating_sub(inflated);
        if inflated > most {
            return Err(Refusal::damaged(format_args!("`{name}` inflates beyond {} MB", most >> 20)));
        }
        if inflated > RATIO_FREE_BYTES && inflated / packed > RATIO_MAX {
            return Err(Refusal::damaged(format_args!("`{name}` inflates {} to 1; a zip bomb", inflated / packed)));
        }
        Ok(bytes)
    }

    /// Inflates a part of XML or text in UTF-8 or UTF-16.
    pub(super) fn text(&mut self, name: &str) -> Result<String, Refusal> {
        let bytes = self.bytes(name)?;
        Ok(super::encoding::decode(&bytes, None)?.text)
    }

    /// Inflates a part that may be absent, and is then empty.
    pub(super) fn text_if_any(&mut self, name: &str) -> Result<String, Refusal> {
        let is_there = self.names().any(|found| found == name);
        if is_there { self.text(name) } else { Ok(String::new()) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// An archive of these parts.
    pub(crate) fn packed(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in parts {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn bombs_are_refused_while_they_inflate() {
        let bomb = packed(&[("small.xml", b"<a/>"), ("bomb.xml", &vec![b' '; 70 << 20]), ("half.xml", &vec![b' '; 8 << 20])]);
        assert!(bomb.len() < 1 << 20);
        let mut package = Package::open(&bomb).unwrap();
        assert_eq!(package.text("small.xml").unwrap(), "<a/>");
        assert_eq!(package.bytes("bomb.xml").unwrap_err().to_string(), "damaged: `bomb.xml` inflates beyond 64 MB");
        let reason = package.bytes("half.xml").unwrap_err().to_string();
        assert!(reason.starts_with("damaged: `half.xml` inflates ") && reason.ends_with(" to 1; a zip bomb"), "{reason}");
        assert_eq!(package.bytes("none.xml").unwrap_err().to_string(), "damaged: no `none.xml` in the zip archive");
    }

    #[test]
    fn too_many_entries_are_refused() {
        let names: Vec<String> = (0..=ENTRIES_MAX).map(|index| index.to_string()).collect();
        let parts: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        let Err(refusal) = Package::open(&packed(&parts)) else { panic!("opened") };
        assert_eq!(refusal.to_string(), "damaged: 10001 entries in a zip archive; at most 10000");
    }
}
