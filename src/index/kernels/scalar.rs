//! The portable kernel, and the definition that the others are tested against.

/// Dot products of `query` with every row.
pub(super) fn dots(query: &[i8], rows: &[u8], out: &mut [i32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = query.iter().zip(row).map(|(&q, &r)| i32::from(q) * i32::from(r.cast_signed())).sum();
    }
}
