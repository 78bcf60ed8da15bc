//! What of a file is in memory.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

pub(crate) const PAGE: usize = 4096;
/// As much as is fetched of a lazily loaded image at a time, in pages.
pub(crate) const PIECE: usize = (512 << 10) / PAGE;

/// Drops a file from the page cache.
#[expect(unsafe_code, reason = "posix_fadvise has no safe wrapper here")]
pub(crate) fn forget(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    file.sync_all()?;
    // SAFETY: a call about an open file; it touches no memory of this process.
    let code = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    ensure!(code == 0, "{}: posix_fadvise gave {code}", path.display());
    Ok(())
}

/// Which pages of a file are in memory.
#[expect(unsafe_code, reason = "mincore has no safe wrapper")]
pub(crate) fn resident(path: &Path) -> Result<Vec<bool>> {
    let file = File::open(path)?;
    // SAFETY: the files of a bench are not changed while it runs, and the map is never read.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    let mut pages = vec![0_u8; map.len().div_ceil(PAGE)];
    // SAFETY: the range is the whole map, and `pages` has one byte for each of its pages.
    let code = unsafe { libc::mincore(map.as_ptr().cast_mut().cast(), map.len(), pages.as_mut_ptr().cast()) };
    ensure!(code == 0, "{}: mincore: {}", path.display(), std::io::Error::last_os_error());
    Ok(pages.into_iter().map(|page| page & 1 == 1).collect())
}

/// How many pieces of 512 KiB those pages lie in.
pub(crate) fn pieces(pages: &[bool]) -> usize {
    pieces_within(pages, 0..pages.len())
}

/// As [`pieces`], of the pages of a range alone.
pub(crate) fn pieces_within(pages: &[bool], range: Range<usize>) -> usize {
    let mut touched: Vec<usize> = range.filter(|&page| pages[page]).map(|page| page / PIECE).collect();
    touched.dedup();
    touched.len()
}
