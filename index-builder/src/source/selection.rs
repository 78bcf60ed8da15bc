//! Which documents of a source are wanted, by globs over their paths.

use globset::{GlobBuilder, GlobMatcher};

use super::{Ignored, Listing, Reason};
use crate::metadata::{composed, sidecar_of};

/// Globs over the paths below the source.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Selection {
    /// Read only what fits this glob, as `*.md` or `handbook/**`; may be repeated. One without `/` fits names at any depth, and a
    /// folder that fits is meant with all that is below it
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    include: Vec<GlobMatcher>,

    /// Leave out what fits this glob, included or not; may be repeated. Hidden files and folders (leading dot) are left out anyway
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    exclude: Vec<GlobMatcher>,
}

impl Selection {
    /// Moves what is not wanted to what is ignored.
    pub(super) fn apply(&self, listing: &mut Listing) {
        let Listing { entries, skipped, ignored, links } = listing;
        let mut keep = |path: &str, why: Option<Ignored>| {
            ignored.extend(why.map(|why| (path.to_owned(), why)));
            why.is_none()
        };
        entries.retain(|entry| keep(&entry.source, self.refuses(&entry.source)));
        skipped.retain(|(path, reason)| {
            // Nobody knows what a folder that cannot be read holds.
            let may_be_folder = matches!(reason, Reason::Denied | Reason::Unreadable(_));
            keep(path, self.refuses(path).filter(|why| *why == Ignored::Excluded || !may_be_folder))
        });
        for (link, target) in links.drain(..) {
            match self.refuses(&link) {
                Some(why) => ignored.push((link, why)),
                None if self.refuses(&target).is_none() => ignored.push((link, Ignored::Linked)),
                // Under the name of the link it would not have the labels of its own.
                None => {
                    skipped.push((link, Reason::Link("a link to what the globs leave out; include its target, or copy it here")));
                }
            }
        }
    }

    /// Why a path is not wanted. A file of metadata goes with its document, which would be open to more people without it.
    fn refuses(&self, path: &str) -> Option<Ignored> {
        let document = composed(sidecar_of(path).unwrap_or(path));
        if fits(&self.exclude, &document) {
            return Some(Ignored::Excluded);
        }
        (!self.include.is_empty() && !fits(&self.include, &document)).then_some(Ignored::NotIncluded)
    }
}

/// Whether a path of composed letters, or a folder above it, fits one of the globs.
fn fits(globs: &[GlobMatcher], path: &str) -> bool {
    let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
    folders.chain([path]).any(|path| globs.iter().any(|glob| glob.is_match(path)))
}

/// Reads a glob: `*` and `?` stay within a name, `**` goes over folders; `[a-z]` and `{a,b}` are understood.
fn glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    let named = text.trim_end_matches('/');
    let below = match named.contains('/') {
        true => named.trim_start_matches("./").trim_start_matches('/').to_owned(),
        false => format!("**/{named}"),
    };
    GlobBuilder::new(&composed(&below)).literal_separator(true).build().map(|glob| glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let globs = |texts: &[&str]| texts.iter().map(|text| glob(text).unwrap()).collect();
        Selection { include: globs(include), exclude: globs(exclude) }
    }

    fn kept<'p>(include: &[&str], exclude: &[&str], paths: &[&'p str]) -> Vec<&'p str> {
        let selection = selection(include, exclude);
        paths.iter().copied().filter(|path| selection.refuses(path).is_none()).collect()
    }

    #[test]
    fn globs_choose_files_and_whole_folders() {
        let paths = ["a.md", "a.pdf", "hr/a.md", "hr/old/b.md", "hr/old.md", "notes/hr/c.md"];
        assert_eq!(kept(&[], &[], &paths), paths);
        assert_eq!(kept(&["*.md"], &[], &paths), ["a.md", "hr/a.md", "hr/old/b.md", "hr/old.md", "notes/hr/c.md"]);
        assert_eq!(kept(&["*.{pdf,txt}", "/hr/"], &[], &paths), ["a.pdf", "hr/a.md", "hr/old/b.md", "hr/old.md"]);
        assert_eq!(kept(&["hr/**"], &[], &paths), ["hr/a.md", "hr/old/b.md", "hr/old.md"]);
        assert_eq!(kept(&["./hr/*.md"], &["old.md"], &paths), ["hr/a.md"]);
        assert_eq!(kept(&[], &["hr"], &paths), ["a.md", "a.pdf"]);
        assert_eq!(kept(&[], &["hr/old"], &paths), ["a.md", "a.pdf", "hr/a.md", "hr/old.md", "notes/hr/c.md"]);
        let written = ["\u{dc}bersicht.md", "U\u{308}bersicht.md"];
        for pattern in written {
            assert_eq!(kept(&[pattern], &[], &written), written);
            assert_eq!(kept(&[], &[pattern], &written), [""; 0]);
        }
        assert!(glob("[a").unwrap_err().to_string().contains("unclosed character class"));
    }

    #[test]
    fn a_file_of_metadata_goes_with_its_document() {
        let paths = ["a.pdf", "a.pdf.metadata.json", "b.md", "b.md.metadata.json"];
        assert_eq!(kept(&["*.pdf"], &["*.json"], &paths), ["a.pdf", "a.pdf.metadata.json"]);
    }

    #[test]
    fn what_is_not_wanted_is_not_skipped_but_a_folder_that_cannot_be_read_is() {
        let entry = |source: &str| Entry {
            uri: source.to_owned(),
            source: source.to_owned(),
            size: 1,
            stamp: String::new(),
            key: source.into(),
        };
        let mut listing = Listing {
            entries: ["a.md", "b.txt"].map(entry).to_vec(),
            skipped: vec![
                ("closed".to_owned(), Reason::Denied),
                ("film.mp4".to_owned(), Reason::TooLarge { bytes: 2, max_bytes: 1 }),
                ("old".to_owned(), Reason::Denied),
            ],
            ignored: Vec::new(),
            links: [("c.md", "b.txt"), ("d.md", "a.md"), ("e.txt", "b.txt")]
                .map(|(link, target)| (link.to_owned(), target.to_owned()))
                .to_vec(),
        };
        selection(&["*.md"], &["old"]).apply(&mut listing);
        assert_eq!(listing.entries, ["a.md"].map(entry));
        let link = Reason::Link("a link to what the globs leave out; include its target, or copy it here");
        assert_eq!(listing.skipped, [("closed".to_owned(), Reason::Denied), ("c.md".to_owned(), link)]);
        let named = |path: &str, why| (path.to_owned(), why);
        assert_eq!(
            listing.ignored,
            [
                named("b.txt", Ignored::NotIncluded),
                named("film.mp4", Ignored::NotIncluded),
                named("old", Ignored::Excluded),
                named("d.md", Ignored::Linked),
                named("e.txt", Ignored::NotIncluded)
            ]
        );
    }
}
