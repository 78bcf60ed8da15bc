//! The embedding model, which is no part of the repository.

use std::path::{Path, PathBuf};

use omni_retrieval::embed::{DEFAULT_MODEL, Description, PACKED_FILE, Packed, Precision, pack};

/// The folder of all-MiniLM-L6-v2: `OMNI_MODEL`, else that of `index-builder model`; none, and said so, where nothing is there.
pub(crate) fn model() -> Option<PathBuf> {
    let repository = env!("CARGO_MANIFEST_DIR").trim_end_matches("/index-builder").trim_end_matches("/omni-retrieval");
    let beside = || Path::new(repository).join("models").join(DEFAULT_MODEL);
    let folder = std::env::var_os("OMNI_MODEL").map_or_else(beside, PathBuf::from);
    if !folder.exists() {
        eprintln!("skipped: {} is not here; get the model with `index-builder model`", folder.display());
        return None;
    }
    let packed = folder.join(PACKED_FILE);
    if packed.is_file() && Packed::open(&packed).is_err() {
        // Of another version. It is not ours to replace; where that cannot be helped, opening it says so.
        return Some(packed_anew(&folder).unwrap_or(folder));
    }
    Some(folder)
}

/// The same model in a folder beside the tests' binaries, where they find it the next time.
fn packed_anew(folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let fresh = std::env::current_exe()?.with_file_name(DEFAULT_MODEL);
    let packed = fresh.join(PACKED_FILE);
    if Packed::open(&packed).is_ok() {
        return Ok(fresh);
    }
    std::fs::create_dir_all(&fresh)?;
    // In one step, for tests run side by side.
    let put = |from: &mut dyn std::io::Read, name: &str| -> Result<(), Box<dyn std::error::Error>> {
        let mut file = tempfile::NamedTempFile::new_in(&fresh)?;
        std::io::copy(from, &mut file)?;
        file.persist(fresh.join(name))?;
        Ok(())
    };
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        put(&mut std::fs::File::open(folder.join(name))?, name)?;
    }
    let description = Description::named(folder, DEFAULT_MODEL)?;
    put(&mut &pack(folder, &description, Precision::Int8)?[..], PACKED_FILE)?;
    Ok(fresh)
}
