//! What a text costs in memory once the buffers have grown: its ids and its vector, and nothing for a word, a token or a layer.
#![expect(unsafe_code, reason = "an allocator that counts")]

mod embed_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use omni_retrieval::embed::{Description, Embedder, Packed, Precision, pack};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_text_costs_its_ids_and_its_vector() {
    let folder = embed_support::small_model();
    let description = Description { document_prefix: "map: ".to_owned(), ..Description::of(folder.path()).unwrap() };
    for precision in [Precision::Int8, Precision::F32] {
        let bytes = pack(folder.path(), &description, precision).unwrap();
        let embedder = Embedder::of(Packed::from_bytes(&bytes).unwrap()).unwrap();
        let long = "The index é is mapped, not read. ".repeat(3_000);
        for text in ["", "the index", "e\u{301}\u{327} 漢字 [MASK] zebra7", &long] {
            embedder.embed_one(&long).unwrap();
            embedder.embed_one(text).unwrap();
            let before = COUNT.get();
            let vector = embedder.embed_one(text).unwrap();
            assert_eq!((COUNT.get() - before, vector.len()), (2, 64), "{text:.40}");
        }
    }
}
