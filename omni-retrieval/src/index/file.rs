//! Which file an index is: named itself, or the only one in a folder.

use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};

/// Extension of index files.
const EXTENSION: &str = "omni";

/// The index file that `named` means: itself, or the only one in the folder.
///
/// # Errors
/// There is no such file, or the folder holds none or several.
pub fn index_path(named: &Path) -> Result<PathBuf> {
    if !named.exists() {
        // A service's working folder is seldom that of its configuration.
        let place = std::path::absolute(named).ok().filter(|_| named.is_relative());
        let place = place.map_or_else(String::new, |place| format!(" at {}", place.display()));
        let message = format!("{}: no such index{place}; build it with `index-builder build FOLDER --out {0}`", named.display());
        return Err(Error::new(Code::NotFound, message));
    }
    if !named.is_dir() {
        return Ok(named.to_path_buf());
    }
    let mut files = index_files(named)?;
    match (files.pop(), files.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => {
            let message = format!("{}: holds no `.omni` file; build one with `index-builder build`", named.display());
            Err(Error::new(Code::NotFound, message))
        }
        (Some(_), others) => {
            let message =
                format!("{}: holds {} `.omni` files; name one with `--index` or `OMNI_INDEX`", named.display(), others + 1);
            Err(Error::bad_request(message))
        }
    }
}

/// The index files of a folder.
///
/// # Errors
/// The folder cannot be read.
pub fn index_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|cause| Error::io(folder, cause))?;
    // What begins with a dot is for somebody's own use.
    let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_index =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == EXTENSION) && !is_hidden(path) && path.is_file();
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_index).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_a_file_or_the_only_one_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let message = |path: &Path| {
            let error = index_path(path).unwrap_err();
            error.message().replace(&*folder.path().to_string_lossy(), "D")
        };
        assert_eq!(message(path), "D: holds no `.omni` file; build one with `index-builder build`");
        assert_eq!(
            message(&path.join("x.omni")),
            "D/x.omni: no such index; build it with `index-builder build FOLDER --out D/x.omni`"
        );
        let relative = index_path(Path::new("no/x.omni")).unwrap_err().message().to_owned();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("no/x.omni");
        let said =
            format!("no/x.omni: no such index at {}; build it with `index-builder build FOLDER --out no/x.omni`", here.display());
        assert_eq!(relative, said);
        std::fs::write(path.join("a.omni"), "").unwrap();
        std::fs::write(path.join(".a.omni"), "").unwrap();
        assert_eq!(index_path(path).unwrap(), path.join("a.omni"));
        assert_eq!(index_path(&path.join("a.omni")).unwrap(), path.join("a.omni"));
        std::fs::write(path.join("b.omni"), "").unwrap();
        assert_eq!(message(path), "D: holds 2 `.omni` files; name one with `--index` or `OMNI_INDEX`");
    }
}
