//! Packs the texts and records of an index before it is written: each alone, against a dictionary of what they have in common.

use rayon::prelude::*;

use super::dictionary::train;
use super::format::{CHUNK_RECORD, DOCUMENT_RECORD, u64_at};
use super::lz4::Packer;
use super::record::ChunkRecord;
use super::section::{Section, Sections};

/// Fewer bytes have too little in common, and are small as they are.
const WORTHWHILE: usize = 256 << 10;

/// Most bytes of a dictionary: as far back as a match may lie, and as much as one checksum covers.
const DICTIONARY: usize = 64 << 10;

/// Bytes of texts and records for each byte of the dictionary, at least.
const SHARE: usize = 16;

/// Packs [`Section::Records`] and [`Section::Texts`], and says so in the rows of [`Section::Documents`] and
/// [`Section::Chunks`].
pub(super) fn pack(sections: &mut Sections) {
    let records = std::mem::take(&mut sections[Section::Records]);
    let texts = std::mem::take(&mut sections[Section::Texts]);
    let documents = sections[Section::Documents].chunks_exact(DOCUMENT_RECORD as usize);
    let ends: Vec<usize> = documents.map(|row| u64_at(row, 0) as usize).collect();
    let records: Vec<&[u8]> = ends.windows(2).map(|ends| &records[ends[0]..ends[1]]).collect();
    let chunks = sections[Section::Chunks].chunks_exact(CHUNK_RECORD).map(ChunkRecord::decode);
    let texts: Vec<&[u8]> = chunks.map(|row| &texts[row.text as usize..][..row.length as usize]).collect();
    let dictionary = dictionary(&records, &texts);

    let mut stored = Vec::new();
    let mut rows = sections[Section::Documents].chunks_exact_mut(DOCUMENT_RECORD as usize);
    for ((record, packed), row) in records.iter().zip(each(&records, &dictionary)).zip(rows.by_ref()) {
        let length = if packed.is_some() { record.len() as u32 } else { 0 };
        row[..8].copy_from_slice(&(stored.len() as u64).to_le_bytes());
        row[12..16].copy_from_slice(&length.to_le_bytes());
        stored.extend_from_slice(packed.as_deref().unwrap_or(record));
    }
    // The last row is where all records end.
    rows.for_each(|row| row[..8].copy_from_slice(&(stored.len() as u64).to_le_bytes()));
    let records = std::mem::take(&mut stored);
    let rows = sections[Section::Chunks].chunks_exact_mut(CHUNK_RECORD);
    for ((text, packed), row) in texts.iter().zip(each(&texts, &dictionary)).zip(rows) {
        let packed_length = packed.as_ref().map_or(0, |packed| packed.len() as u32);
        let record = ChunkRecord { text: stored.len() as u64, packed: packed_length, ..ChunkRecord::decode(row) };
        row.copy_from_slice(&record.encode());
        stored.extend_from_slice(packed.as_deref().unwrap_or(text));
    }
    sections[Section::Records] = records;
    sections[Section::Texts] = stored;
    sections[Section::Dictionary] = dictionary;
}

/// What recurs in records and in texts, each in proportion; nothing where that would not be worth it.
fn dictionary(records: &[&[u8]], texts: &[&[u8]]) -> Vec<u8> {
    let bytes = |all: &[&[u8]]| all.iter().map(|one| one.len()).sum::<usize>();
    let (of_records, of_texts) = (bytes(records), bytes(texts));
    let total = of_records + of_texts;
    if total < WORTHWHILE {
        return Vec::new();
    }
    let size = DICTIONARY.min(total / SHARE);
    let of_records = (size as u64 * of_records as u64 / total as u64) as usize;
    [train(records.iter().copied(), of_records), train(texts.iter().copied(), size - of_records)].concat()
}

/// Each packed, or none where that makes it no smaller or there is no dictionary.
fn each(all: &[&[u8]], dictionary: &[u8]) -> Vec<Option<Vec<u8>>> {
    let packer = Packer::new(dictionary);
    all.par_iter().map(|one| if dictionary.is_empty() { None } else { packer.pack(one) }).collect()
}
