//! Why something in a source is not read: by intent, or because it cannot be.

use std::fmt;

use super::MOST_FILE_MB;

/// Why one document is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is in a storage class that has to be restored first.
    #[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "only S3 archives"))]
    Archived(String),
    /// It changed between listing and the end of reading.
    Changed,
    /// We may not read it.
    Denied,
    /// It is a link that is not followed; the text says why.
    Link(&'static str),
    /// It is neither a file nor a folder (socket, pipe, device).
    NotAFile,
    /// It has more bytes than are allowed.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What is allowed.
        max_bytes: u64,
    },
    /// The system could not read it and says why.
    Unreadable(String),
    /// It was listed and is no longer there.
    Vanished,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archived(class) => write!(f, "archived in storage class `{class}`; restore the object first"),
            Self::Changed => f.write_str("changed while being read; build again once it is no longer written"),
            Self::Denied => f.write_str("permission denied; allow the builder to read it"),
            Self::Link(why) => f.write_str(why),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::TooLarge { bytes, max_bytes } => {
                let remedy = if *bytes <= MOST_FILE_MB * 1_000_000 { "raise `--max-file-mb`" } else { "split it" };
                write!(f, "too large: {bytes} bytes, at most {max_bytes} are read; {remedy}")
            }
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Vanished => f.write_str("vanished while being read"),
        }
    }
}

impl Reason {
    /// The reason for which the system refused a file.
    pub(super) fn io(cause: &std::io::Error) -> Self {
        match cause.kind() {
            std::io::ErrorKind::NotFound => Self::Vanished,
            std::io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Unreadable(cause.to_string()),
        }
    }
}

/// Why something is left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ignored {
    /// A file or folder whose name begins with a dot.
    Hidden,
    /// What an editor keeps of a file as it was.
    Backup,
    /// An office suite has the document beside it open.
    Lock,
    /// An object that stands for a folder of keys.
    #[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "only S3 has them"))]
    Marker,
    /// A link to a file that is read under its own name.
    Linked,
    /// What the builder wrote, or reads besides documents.
    Own,
    /// It fits a glob of `--exclude`.
    Excluded,
    /// It fits no glob of `--include`.
    NotIncluded,
}

impl Ignored {
    /// Whether and why a file or folder of this name is left out wherever it is.
    pub(super) fn by_name(name: &[u8]) -> Option<Self> {
        match () {
            () if name.starts_with(b".") => Some(Self::Hidden),
            () if name.starts_with(b"~$") => Some(Self::Lock),
            () if name.ends_with(b"~") => Some(Self::Backup),
            () => None,
        }
    }

    /// Whether only the globs are why: another build may read it.
    pub(crate) fn by_selection(self) -> bool {
        matches!(self, Self::Excluded | Self::NotIncluded)
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hidden => "hidden",
            Self::Backup => "a backup of an editor",
            Self::Lock => "a lock file",
            Self::Marker => "a folder marker",
            Self::Linked => "a link to what is read under its own name",
            Self::Own => "the builder's own",
            Self::Excluded => "left out by `--exclude`",
            Self::NotIncluded => "not in `--include`",
        })
    }
}
