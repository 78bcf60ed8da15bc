//! Memory that large requests took goes back to the system when they are over.

/// Bytes from which the allocator maps a block by itself, and unmaps it when it is freed.
const MAPPED_BYTES: libc::c_int = 1 << 20;

/// Keeps glibc from raising that size to the largest block that was ever freed: from then on large bodies lie in its heaps, which
/// keep a multiple of them for good. Setting the size that it begins with would cost small requests page faults.
#[expect(unsafe_code, reason = "a setting of the C library")]
pub(crate) fn give_back() {
    // SAFETY: it takes two numbers by value; glibc locks its heap to change the setting.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES) };
}
