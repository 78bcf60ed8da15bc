//! The WordPiece vocabulary as a static hash table: no parsing, a lookup touches one slot and one string.
//!
//! Open addressing over `(tag, id + 1)`; a slot with 0 ends a search. Pieces that continue a word are stored as they are written
//! (`##ing`), so that one string compare decides. A damaged table can miss a word, loop at most once around, and reach nothing
//! outside.

/// FNV-1a with a final mix: prefixes of a word hash in one pass.
#[derive(Clone, Copy)]
pub(super) struct Hash(u64);

impl Hash {
    pub(super) fn of(bytes: &[u8]) -> Self {
        bytes.iter().fold(Self(0xcbf2_9ce4_8422_2325), |hash, &byte| hash.push(byte))
    }

    pub(super) fn push(self, byte: u8) -> Self {
        Self((self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// Where a search begins, and what its slots are marked with.
    fn slot_and_tag(self) -> (usize, u32) {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 32) as usize, mixed as u32)
    }
}

/// Written before a piece that continues a word.
pub(super) const CONTINUES: &[u8] = b"##";

/// A view of the vocabulary's sections.
#[derive(Clone, Copy)]
pub(super) struct Vocabulary<'a> {
    slots: &'a [u32],
    ends: &'a [u32],
    text: &'a [u8],
    longest: usize,
}

impl<'a> Vocabulary<'a> {
    pub(super) fn new(slots: &'a [u32], ends: &'a [u32], text: &'a [u8], longest: usize) -> Self {
        Self { slots, ends, text, longest }
    }

    /// Bytes of the longest piece; nothing longer has to be looked up.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The id of the piece that is spelled `piece`, after the sign of continuation if `continues`; `hash` is over all of it.
    pub(super) fn find(&self, hash: Hash, continues: bool, piece: &[u8]) -> Option<u32> {
        let (mut slot, tag) = hash.slot_and_tag();
        let pairs = self.slots.as_chunks::<2>().0;
        let mask = pairs.len().wrapping_sub(1);
        for _ in 0..pairs.len() {
            let &[marked, id] = pairs.get(slot & mask)?;
            let id = id.checked_sub(1)?;
            if marked == tag
                && let Some(spelled) = self.piece(id)
                && (if continues { spelled.strip_prefix(CONTINUES) == Some(piece) } else { spelled == piece })
            {
                return Some(id);
            }
            slot += 1;
        }
        None
    }

    fn piece(&self, id: u32) -> Option<&'a [u8]> {
        let start = *self.ends.get(id as usize)? as usize;
        let end = *self.ends.get(id as usize + 1)? as usize;
        self.text.get(start..end)
    }
}

/// The sections of a vocabulary: slots, ends, text.
pub(super) fn build(pieces: &[String], slots: usize) -> (Vec<u32>, Vec<u32>, Vec<u8>) {
    let mut table = vec![0; slots * 2];
    let mut ends = vec![0];
    let mut text = Vec::new();
    for (id, piece) in (1..).zip(pieces) {
        text.extend_from_slice(piece.as_bytes());
        ends.push(text.len() as u32);
        let (mut slot, tag) = Hash::of(piece.as_bytes()).slot_and_tag();
        while table[(slot & (slots - 1)) * 2 + 1] != 0 {
            slot += 1;
        }
        let at = (slot & (slots - 1)) * 2;
        table[at] = tag;
        table[at + 1] = id;
    }
    (table, ends, text)
}
