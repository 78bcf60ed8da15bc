//! A packed model is what was packed, byte for byte, or an error: never a panic, never a read outside the file.
#![expect(clippy::unwrap_used, reason = "test code")]

mod embed_support;

use embed_support::{Shape, header_end, model::model, sections, small_model, small_reranker};
use omni_retrieval::embed::{Description, Embedder, Kernel, Packed, Pooling, Precision, Purpose, Reranker, pack};
use omni_retrieval::error::Code;
use rayon::prelude::*;
use serde_json::json;

fn packed(precision: Precision) -> Vec<u8> {
    let folder = small_model();
    pack(folder.path(), &description(), precision).unwrap()
}

fn description() -> Description {
    Description {
        name: "small".to_owned(),
        licence: "Apache-2.0".to_owned(),
        max_tokens: 32,
        pooling: Pooling::Mean,
        pooling_is_assumed: false,
        query_prefix: "query: ".to_owned(),
        document_prefix: String::new(),
        family: None,
    }
}

/// What embeds and what scores, each in both precisions.
fn all_packed() -> [Vec<u8>; 4] {
    let (embeds, reranks) = (small_model(), small_reranker());
    [(&embeds, Precision::Int8), (&embeds, Precision::F32), (&reranks, Precision::Int8), (&reranks, Precision::F32)]
        .map(|(folder, precision)| pack(folder.path(), &description(), precision).unwrap())
}

/// Everything that the file has to say, used once.
fn use_up(bytes: &[u8], kernel: Kernel) -> Option<Code> {
    let packed = match Packed::from_bytes(bytes) {
        Ok(packed) => packed,
        Err(error) => return Some(error.code()),
    };
    let verdict = packed.verify().err().map(|error| error.code());
    let text = "The index is mapped, not read. [MASK] é漢";
    if packed.manifest().purpose == Purpose::Reranking {
        let reranker = Reranker::of(packed).unwrap().with_kernel(kernel);
        assert_eq!(reranker.score("the index [MASK]", &[text, "", &"index ".repeat(40)]).unwrap().len(), 3);
        return verdict;
    }
    let embedder = Embedder::of(packed).unwrap().with_kernel(kernel);
    for vector in [embedder.embed_one(text), embedder.embed_query(text)] {
        assert_eq!(vector.unwrap().len(), embedder.dimensions());
    }
    verdict
}

#[test]
fn equal_input_gives_equal_bytes() {
    for precision in [Precision::Int8, Precision::F32] {
        assert!(packed(precision) == packed(precision));
    }
}

/// Its padding ends at a fixed step, which must not come before its own end.
#[test]
fn a_manifest_may_have_any_length() {
    let folder = Shape { inner: 64, layers: 1, heads: 1, ..Shape::default() }.write();
    (0..4_200).into_par_iter().for_each(|length| {
        let description = Description { name: "n".repeat(length), ..description() };
        let bytes = pack(folder.path(), &description, Precision::Int8).unwrap();
        let packed = Packed::from_bytes(&bytes).unwrap_or_else(|error| panic!("name of {length}: {error}"));
        assert_eq!(packed.manifest().name.len(), length);
    });
}

#[test]
fn the_file_carries_its_description() {
    let bytes = packed(Precision::Int8);
    let embedder = Embedder::of(Packed::from_bytes(&bytes).unwrap()).unwrap();
    let manifest = embedder.manifest();
    assert_eq!((embedder.name(), &manifest.licence[..], manifest.layers, manifest.heads), ("small", "Apache-2.0", 2, 4));
    assert_eq!((embedder.dimensions(), embedder.tokenizer().max_tokens(), manifest.pooling), (64, 32, Pooling::Mean));
    assert_eq!(embedder.embed_query("index").unwrap(), embedder.embed_one("query: index").unwrap());
    assert_ne!(embedder.embed_query("index").unwrap(), embedder.embed_one("index").unwrap());
    assert_ne!(embedder.fingerprint(), Embedder::of(Packed::from_bytes(&packed(Precision::F32)).unwrap()).unwrap().fingerprint());
}

#[test]
fn every_truncation_is_an_error() {
    for bytes in all_packed() {
        let first = header_end(&bytes);
        let ends = (0..first + 64).chain((first..bytes.len()).step_by(397)).chain(bytes.len() - 64..bytes.len());
        for end in ends {
            let error = Packed::from_bytes(&bytes[..end]).unwrap_err();
            assert_eq!(error.code(), Code::CorruptFile, "cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Packed::from_bytes(&longer).unwrap_err().code(), Code::CorruptFile);
    }
}

#[test]
fn every_flipped_bit_of_the_header_is_an_error() {
    // All of one file, and some of the others, whose headers are read by the same code.
    for (mut altered, step) in all_packed().into_iter().zip([1, 61, 61, 61]) {
        for bit in (0..header_end(&altered) * 8).step_by(step) {
            altered[bit / 8] ^= 1 << (bit % 8);
            // Opening is enough, and quick: nothing below it runs on an altered header.
            assert!(Packed::from_bytes(&altered[..]).is_err(), "bit {bit}");
            altered[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn an_altered_section_is_found_and_harmless() {
    let mut kernels = Kernel::available().into_iter().cycle();
    let mut use_up = |bytes: &[u8]| use_up(bytes, kernels.next().unwrap());
    let mut noise = embed_support::Noise(3);
    for bytes in all_packed() {
        assert_eq!(use_up(&bytes), None);
        let sections: Vec<_> = sections(&bytes).into_iter().filter(|(_, place)| !place.is_empty()).collect();
        for (name, place) in &sections {
            for at in [place.start, place.end - 1] {
                let mut altered = bytes.clone();
                altered[at] ^= 1;
                let error = Packed::from_bytes(&altered).unwrap().verify().unwrap_err();
                assert_eq!(error.code(), Code::CorruptFile, "{name}, altered {at}");
            }
            // All bits set: ids and ends of pieces out of range, weights that are no numbers.
            let mut altered = bytes.clone();
            altered[place.clone()].fill(0xff);
            assert_eq!(use_up(&altered), Some(Code::CorruptFile), "{name}, filled");
        }
        let first = header_end(&bytes).next_multiple_of(64);
        for _ in 0..25 {
            let mut altered = bytes.clone();
            // A hole of random bytes, so that vocabulary, scales and weights all get their share of nonsense.
            let at = first + noise.next() as usize % (bytes.len() - first);
            let end = (at + 1 + noise.next() as usize % 64).min(bytes.len());
            for byte in &mut altered[at..end] {
                *byte ^= (noise.next() % 255 + 1) as u8;
            }
            let verdict = use_up(&altered);
            // Padding between sections belongs to none of them.
            let is_padding = sections.iter().all(|(_, place)| place.end <= at || place.start >= end);
            assert_eq!(verdict, (!is_padding).then_some(Code::CorruptFile), "altered {at}..{end}");
        }
    }
}

#[test]
fn what_is_read_whole_lies_together_between_words_and_positions() {
    for bytes in all_packed() {
        let mut sections = sections(&bytes);
        sections.sort_by_key(|(_, place)| place.start);
        let names: Vec<&str> = sections.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!((names[0], names[names.len() - 1]), ("embedding.words", "embedding.positions"), "{names:?}");
    }
}

/// Indexes and kept vectors go on working where only the layout of the file changes.
#[test]
fn the_fingerprint_does_not_depend_on_where_sections_lie() {
    let fingerprints = all_packed().map(|bytes| Packed::from_bytes(&bytes).unwrap().manifest().fingerprint.clone());
    assert_eq!(fingerprints, ["25b485b5fbfb148b", "16bb367434caf8db", "996ee24a8d70f673", "d66f841bc1478e87"]);
}

/// What this process has of a mapped file in its memory; none where the system does not say.
fn resident_kib(path: &std::path::Path) -> Option<usize> {
    let maps = std::fs::read_to_string("/proc/self/smaps").ok()?;
    let map = maps.lines().skip_while(|line| !line.ends_with(&*path.to_string_lossy()));
    let kib = map.filter_map(|line| line.strip_prefix("Rss:")?.strip_suffix("kB")?.trim().parse().ok()).next();
    kib.filter(|&kib| kib > 0)
}

#[test]
fn opening_reads_no_weights() {
    // Most of it are positions that no text reaches.
    let folder = Shape { width: 128, positions: 16_384, ..Shape::default() }.write();
    let path = folder.path().join("packed.bin");
    let most = Description { max_tokens: 16_384, ..description() };
    std::fs::write(&path, pack(folder.path(), &most, Precision::Int8).unwrap()).unwrap();
    let embedder = Embedder::open(&path).unwrap();
    let Some(opened) = resident_kib(&path) else {
        println!("skipped: no /proc/self/smaps here");
        return;
    };
    embedder.verify().unwrap();
    let read = resident_kib(&path).unwrap();
    // A huge page of 2 MiB may come with the header.
    assert!(read > 8_192 && opened <= 2_048, "{opened} KiB at open, {read} KiB once read");
}

#[test]
fn a_forged_manifest_is_refused() {
    let bytes = packed(Precision::Int8);
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[24..24 + length]).unwrap();
    let forge = |pointer: &str, value: serde_json::Value| {
        let mut json = json.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        let mut text = json.to_string();
        text.push_str(&" ".repeat(length.saturating_sub(text.len())));
        let mut forged = bytes[..12].to_vec();
        forged.extend((text.len() as u32).to_le_bytes());
        forged.extend(crc32c::crc32c(text.as_bytes()).to_le_bytes());
        forged.extend([0; 4]);
        forged.extend(text.as_bytes());
        forged.extend(&bytes[24 + length..]);
        Packed::from_bytes(&forged).err().map(|error| error.message().to_owned())
    };
    assert_eq!(forge("/name", "else".into()), None, "the forger works");
    let (range, large, place) = ("not from 1 to 1048576", "larger than any encoder", "is not where or what");
    let [slots, bytes] = [" slots for 87 pieces", "`piece_bytes`"];
    let values = [0_u64, 1, 7, 1 << 20, 1 << 40, u64::MAX];
    for (field, reasons) in [
        ("dimensions", [range, "1 x 128: widths", "7 x 128: widths", large, range, range]),
        ("layers", [range, "19 sections where 13 belong", "19 sections where 49 belong", large, range, range]),
        // One head of 64 is a model, if not this one.
        ("heads", [range, "", "7 heads of 64: a head", "1048576 heads of 64: a head", range, range]),
        ("intermediate", [range, "64 x 1: widths", "64 x 7: widths", large, range, range]),
        ("max_tokens", [range, "`max_tokens` 1: at least 3", place, large, range, range]),
        ("tokenizer/pieces", [range, "token 1: the vocabulary has 1", place, "256 slots for 1048576 pieces", range, range]),
        ("tokenizer/slots", [slots, slots, slots, place, slots, slots]),
        ("tokenizer/piece_bytes", [place, place, place, place, bytes, bytes]),
    ] {
        for (value, reason) in values.into_iter().zip(reasons) {
            match forge(&format!("/{field}"), value.into()) {
                Some(verdict) => assert!(!reason.is_empty() && verdict.contains(reason), "`{field}` {value}: {verdict}"),
                None => assert_eq!(reason, "", "`{field}` {value}"),
            }
        }
    }
    let words = "section `embedding.words` is not where";
    // Whatever lies behind larger words is in another place, and is listed before them.
    let slots = "section `vocabulary.slots` is not where";
    for (pointer, value, reason) in [
        ("/tokenizer/unknown", 1_000_000.into(), "token 1000000: the vocabulary has 87"),
        ("/tokenizer/added/0/id", 1_000_000.into(), "token 1000000: the vocabulary has 87"),
        ("/tokenizer/added/0/text", "".into(), "added token ``: does not begin with an ASCII character"),
        ("/sections/3/offset", 64.into(), words),
        ("/sections/3/length", u64::MAX.into(), words),
        ("/precision", "f32".into(), slots),
        ("/tokenizer/longest_piece", 257.into(), "`longest_piece` 257: more than 256"),
        ("/norm_epsilon", (-1.0).into(), "`norm_epsilon` -1: not from 0 to 1"),
    ] {
        let verdict = forge(pointer, value).unwrap_or_default();
        assert!(verdict.contains(reason), "{pointer}: {verdict:?}");
    }
}

#[test]
fn a_file_that_is_overwritten_in_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    let bytes = packed(Precision::Int8);
    std::fs::write(&path, &bytes).unwrap();
    let ask = |embedder: &Embedder| embedder.embed_one("the index").map_err(|error| error.to_string());
    let lost = "model.bin: was overwritten while in use; put a new file in its place by renaming, never by writing into it, and start again";

    // Cut short, as `cp` does before it writes.
    let embedder = Embedder::open(&path).unwrap();
    let expected = ask(&embedder).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(100).unwrap();
    assert_eq!(ask(&embedder).unwrap_err(), lost);
    assert_eq!(embedder.embed_query("the index").unwrap_err().to_string(), lost);
    assert_eq!(embedder.embed(&["the index"], &|_| ()).unwrap_err().to_string(), lost);

    // The same bytes once more are the same model; others of the same length are not.
    std::fs::write(&path, &bytes).unwrap();
    let embedder = Embedder::open(&path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(ask(&embedder).unwrap(), expected);
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &other).unwrap();
    assert_eq!(ask(&embedder).unwrap_err(), lost);

    // Put in its place by renaming, a new file is the next process's.
    std::fs::write(&path, &bytes).unwrap();
    let embedder = Embedder::open(&path).unwrap();
    std::fs::write(folder.path().join("new"), &other).unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    assert_eq!(ask(&embedder).unwrap(), expected);
}

#[test]
fn a_file_that_shrinks_under_running_embeddings_kills_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = packed(Precision::F32);
    for round in 0..5 {
        let path = folder.path().join(format!("{round}.bin"));
        std::fs::write(&path, &bytes).unwrap();
        let embedder = Embedder::open(&path).unwrap();
        let expected = embedder.embed_one("the index is mapped, not read").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    // What is handed out is right, until nothing is.
                    while let Ok(vector) = embedder.embed_one("the index is mapped, not read") {
                        assert_eq!(vector, expected);
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::fs::File::options().write(true).open(&path).unwrap().set_len(4_096).unwrap();
        });
        assert!(embedder.embed(&["the index"; 100], &|_| ()).is_err());
    }
}

#[test]
fn errors_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let message = |result: Result<Embedder, omni_retrieval::error::Error>| {
        result.err().unwrap().message().replace(&*folder.path().to_string_lossy(), "X")
    };
    assert_eq!(message(Embedder::open(folder.path())), "X/config.json: no such file; get the model with `index-builder model`");
    let path = folder.path().join("packed");
    std::fs::write(&path, "this is no model, but it is longer than a preamble").unwrap();
    let remedy = "pack the model again with `index-builder model --to X`, another than ours with `--from`, too";
    let foreign = "not a packed model; name a model's folder, or get one with `index-builder model`";
    assert_eq!(message(Embedder::open(&path)), format!("X/packed: {foreign}"));
    let mut bytes = packed(Precision::Int8);
    bytes[8] = 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(message(Embedder::open(&path)), format!("X/packed: version 1: this program reads version 2; {remedy}"));
}

#[test]
fn what_the_encoder_cannot_run_is_refused_by_name() {
    let folder = small_model();
    let refusal = |file: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let path = folder.path().join(file);
        let kept = std::fs::read(&path).unwrap();
        let mut value = serde_json::from_slice(&kept).unwrap();
        change(&mut value);
        std::fs::write(&path, value.to_string()).unwrap();
        let error = pack(folder.path(), &description(), Precision::Int8).unwrap_err();
        std::fs::write(&path, kept).unwrap();
        assert_eq!(error.code(), Code::NotSupported, "{error}");
        let message = error.message().strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned();
        message.strip_suffix("; the encoder cannot run this model").unwrap().to_owned()
    };
    let config = |fields: serde_json::Value| {
        refusal("config.json", &|config| {
            let fields = fields.as_object().unwrap().clone();
            config.as_object_mut().unwrap().extend(fields);
        })
    };
    assert_eq!(
        config(json!({"hidden_act": "silu"})),
        "`hidden_act` `silu`: the encoder knows `gelu`, `gelu_new`, `gelu_pytorch_tanh` and `relu`"
    );
    assert_eq!(
        config(json!({"position_embedding_type": "alibi"})),
        "`position_embedding_type` `alibi`: the encoder knows `absolute`"
    );
    assert_eq!(config(json!({"is_decoder": true})), "`is_decoder` `true`: the encoder lets every token see all others");
    assert_eq!(
        config(json!({"architectures": ["JinaBertForMaskedLM"]})),
        "`architectures` `JinaBertForMaskedLM`: the encoder knows `BertModel`, with or without a head"
    );
    assert_eq!(
        config(json!({"model_type": null})),
        "neither `architectures` nor `model_type`: the encoder knows `BertModel`, with or without a head"
    );
    for (kind, name) in [("distilbert", "DistilBertModel"), ("mpnet", "MPNetModel"), ("xlm-roberta", "XLMRobertaModel")] {
        // These name their sizes otherwise, which must not be what is said first.
        let other = refusal("config.json", &|config| *config = json!({"model_type": kind, "architectures": [name]}));
        assert_eq!(other, format!("`model_type` `{kind}` (`{name}`): the encoder knows `bert`"));
    }
    let tokenizer = |pointer: &str, value: serde_json::Value| {
        refusal("tokenizer.json", &|file| *file.pointer_mut(pointer).unwrap() = value.clone())
    };
    assert_eq!(
        tokenizer("/model", json!({"type": "Unigram", "vocab": [["a", 0.5]]})),
        "model `Unigram`: not the one of BERT, which is `WordPiece`"
    );
    assert_eq!(
        tokenizer("/normalizer", json!({"type": "Precompiled"})),
        "normalizer `Precompiled`: not the one of BERT, which is `BertNormalizer`"
    );
    assert_eq!(tokenizer("/normalizer", json!(null)), "normalizer ``: not the one of BERT, which is `BertNormalizer`");
    assert_eq!(
        tokenizer("/added_tokens/4/lstrip", json!(true)),
        "added token `[MASK]`: matched in a way the encoder does not do"
    );
    // Sizes that do not fit are the network's, and rules the tokenizer's.
    assert_eq!(config(json!({"intermediate_size": 100})), "64 x 100: widths have to be multiples of 64");
    assert_eq!(config(json!({"num_attention_heads": 8})), "8 heads of 64: a head has to be a multiple of 16 wide");
    assert_eq!(config(json!({"max_position_embeddings": 2})), "`max_tokens` 2: at least 3");
    assert_eq!(tokenizer("/model/max_input_chars_per_word", json!(0)), "`max_word_chars` 0: not from 1 to 1048576");
    // The number that somebody asked for is in no file.
    let error = pack(folder.path(), &Description { max_tokens: 2, ..description() }, Precision::Int8).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::InvalidRequest, "`max_tokens`: 2; at least 3"));
}

#[test]
fn weights_that_only_python_reads_are_named() {
    let folder = small_model();
    std::fs::rename(folder.path().join("model.safetensors"), folder.path().join("pytorch_model.bin")).unwrap();
    let error = pack(folder.path(), &description(), Precision::Int8).unwrap_err();
    assert!(error.message().contains("pytorch_model.bin: pickled weights, which only Python reads; save them as"), "{error}");
}

#[test]
fn a_list_of_words_is_as_good_as_a_tokenizer_file() {
    let folder = small_model();
    let packed = |folder: &std::path::Path| pack(folder, &description(), Precision::Int8);
    let expected = packed(folder.path()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("tokenizer.json")).unwrap()).unwrap();
    let mut pieces: Vec<(u64, &String)> =
        json["model"]["vocab"].as_object().unwrap().iter().map(|(piece, id)| (id.as_u64().unwrap(), piece)).collect();
    pieces.sort_unstable();
    let list: String = pieces.iter().map(|(_, piece)| format!("{piece}\n")).collect();
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("vocab.txt", &list);
    assert!(packed(folder.path()).unwrap() == expected);
    let settings =
        json!({"tokenizer_class": "BertTokenizer", "do_lower_case": true, "cls_token": {"content": "[CLS]", "lstrip": false}});
    write("tokenizer_config.json", &settings.to_string());
    assert!(packed(folder.path()).unwrap() == expected);
    write("tokenizer_config.json", &json!({"do_lower_case": false}).to_string());
    assert!(packed(folder.path()).unwrap() != expected);
    // A token that is found in a text before it is split.
    let piece = pieces.iter().map(|(_, piece)| piece).find(|piece| piece.as_str() == "the").unwrap();
    write("tokenizer_config.json", &json!({"additional_special_tokens": [piece]}).to_string());
    let added = packed(folder.path()).unwrap();
    assert!(added != expected);
    let token =
        |lstrip| json!({"added_tokens_decoder": {"5": {"content": piece, "special": true, "lstrip": lstrip}}}).to_string();
    write("tokenizer_config.json", &token(false));
    assert!(packed(folder.path()).unwrap() == added);
    let refusal = || packed(folder.path()).unwrap_err().message().rsplit_once(": ").unwrap().1.to_owned();
    write("tokenizer_config.json", &token(true));
    assert!(refusal().starts_with("matched in a way the encoder does not do"), "{}", refusal());
    write("tokenizer_config.json", &json!({"tokenizer_class": "MPNetTokenizer"}).to_string());
    assert!(refusal().starts_with("not the one of BERT, which is `BertTokenizer`"), "{}", refusal());
    write("tokenizer_config.json", "{}");
    write("vocab.txt", &format!("{list}the\n"));
    assert!(refusal().starts_with("`the` a second time"), "{}", refusal());
}

#[test]
fn lower_case_may_be_asked_for_beside_the_tokenizer() {
    let folder = small_model();
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    tokenizer["normalizer"]["lowercase"] = false.into();
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let ids = |text: &str| Embedder::open(folder.path()).unwrap().tokenizer().encode(text);
    assert_ne!(ids("The Index"), ids("the index"));
    std::fs::write(folder.path().join("sentence_bert_config.json"), json!({"do_lower_case": true}).to_string()).unwrap();
    assert_eq!(ids("The Index"), ids("the index"));
    // The library's own file says it, too, of a tokenizer that says otherwise.
    std::fs::remove_file(folder.path().join("sentence_bert_config.json")).unwrap();
    std::fs::write(folder.path().join("tokenizer_config.json"), json!({"do_lower_case": true, "sep_token": null}).to_string())
        .unwrap();
    assert_eq!(ids("The Index"), ids("the index"));
}

#[test]
fn what_stands_beside_a_model_is_heeded() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, value: serde_json::Value| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    };
    let plain = Description::of(folder.path()).unwrap();
    assert_eq!((plain.pooling, plain.pooling_is_assumed, plain.query_prefix.as_str()), (Pooling::Mean, true, ""));
    // Nothing but its positions is then the limit, and 1e30 is how no limit is written.
    for (most, expected) in [(json!(1e30), usize::MAX), (json!(128), 128)] {
        assert_eq!(Description::of(folder.path()).unwrap().max_tokens, usize::MAX);
        write("tokenizer_config.json", json!({"model_max_length": most}));
        assert_eq!(Description::of(folder.path()).unwrap().max_tokens, expected);
    }
    for name in ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"] {
        assert_eq!(Description::named(folder.path(), name).unwrap().max_tokens, 256);
    }
    write("1_Pooling/config.json", json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}));
    write("sentence_bert_config.json", json!({"max_seq_length": 512}));
    write("config_sentence_transformers.json", json!({"prompts": {"query": "query: ", "passage": "passage: "}}));
    let told = Description::of(folder.path()).unwrap();
    assert_eq!((told.pooling, told.pooling_is_assumed, told.max_tokens), (Pooling::Cls, false, 512));
    assert_eq!((told.query_prefix.as_str(), told.document_prefix.as_str()), ("query: ", "passage: "));
    write("1_Pooling/config.json", json!({"pooling_mode": "mean"}));
    assert_eq!(Description::of(folder.path()).unwrap().pooling, Pooling::Mean);
    let module = |kind: &str, path: &str| json!({"type": format!("sentence_transformers.models.{kind}"), "path": path});
    write("modules.json", json!([module("Transformer", ""), module("Pooling", "elsewhere"), module("Normalize", "2_Normalize")]));
    write("elsewhere/config.json", json!({"pooling_mode_cls_token": true}));
    assert_eq!(Description::of(folder.path()).unwrap().pooling, Pooling::Cls);
    write("modules.json", json!([module("Transformer", ""), module("Pooling", "1_Pooling"), module("Dense", "2_Dense")]));
    let error = Description::of(folder.path()).unwrap_err();
    assert!(
        error.message().contains("`sentence_transformers.models.Dense`: the encoder does a transformer, a pooling and"),
        "{error}"
    );
    std::fs::remove_file(folder.path().join("modules.json")).unwrap();
    std::fs::write(folder.path().join("README.md"), "---\ntags:\n- bert\nlicense: apache-2.0\n---\n# A model\n").unwrap();
    assert_eq!(Description::of(folder.path()).unwrap().licence, "Apache-2.0");
    for other in [json!({"pooling_mode_max_tokens": true}), json!({"pooling_mode": "lasttoken"})] {
        write("1_Pooling/config.json", other);
        let error = Description::of(folder.path()).unwrap_err();
        assert_eq!(error.code(), Code::NotSupported);
        assert!(error.message().contains("the encoder pools by the mean of the tokens or by the first"), "{error}");
    }
}

#[test]
fn a_known_family_has_its_prefixes_where_the_folder_names_none() {
    let folder = tempfile::tempdir().unwrap();
    let known = |name: &str| {
        let described = Description::named(folder.path(), name).unwrap();
        (described.family, described.query_prefix, described.document_prefix)
    };
    let prefixes = |query: &str, document: &str| (query.to_owned(), document.to_owned());
    let (family, query, document) = known("intfloat/E5-small-v2");
    assert_eq!((family, (query, document)), (Some("e5"), prefixes("query: ", "passage: ")));
    let (family, query, document) = known("bge-small-en-v1.5");
    let expected = prefixes("Represent this sentence for searching relevant passages: ", "");
    assert_eq!((family, (query, document)), (Some("bge"), expected));
    assert_eq!(known("gte-small"), (None, String::new(), String::new()));
    let path = folder.path().join("config_sentence_transformers.json");
    std::fs::write(&path, json!({"prompts": {"query": "", "document": ""}}).to_string()).unwrap();
    assert_eq!(known("e5-base").0, Some("e5"));
    std::fs::write(&path, json!({"prompts": {"query": "ask: "}}).to_string()).unwrap();
    assert_eq!(known("e5-base"), (None, "ask: ".to_owned(), String::new()));
}

#[test]
fn a_known_family_has_its_pooling_where_the_folder_names_none() {
    let folder = tempfile::tempdir().unwrap();
    let known = |name: &str| {
        let described = Description::named(folder.path(), name).unwrap();
        (described.pooling, described.pooling_is_assumed)
    };
    for name in ["BAAI/bge-small-en-v1.5", "bge-large-zh", "snowflake-arctic-embed-xs", "mxbai-embed-large-v1"] {
        assert_eq!(known(name), (Pooling::Cls, true), "{name}");
    }
    for name in ["e5-base-v2", "gte-small", "paraphrase-MiniLM-L3-v2", "mxbai-embed-xsmall-v1"] {
        assert_eq!(known(name), (Pooling::Mean, true), "{name}");
    }
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::write(folder.path().join("1_Pooling/config.json"), json!({"pooling_mode_mean_tokens": true}).to_string()).unwrap();
    assert_eq!(known("bge-small-en"), (Pooling::Mean, false));
}

/// Without a limit of its own a model reads as much as it has positions.
#[test]
fn the_limit_of_tokens_is_that_of_its_positions_or_less() {
    let folder = small_model();
    let limit = || {
        let bytes = pack(folder.path(), &Description::of(folder.path()).unwrap(), Precision::Int8).unwrap();
        Packed::from_bytes(&bytes).unwrap().manifest().max_tokens
    };
    assert_eq!(limit(), Shape::POSITIONS);
    std::fs::write(folder.path().join("tokenizer_config.json"), json!({"model_max_length": 16}).to_string()).unwrap();
    assert_eq!(limit(), 16);
    std::fs::write(folder.path().join("sentence_bert_config.json"), json!({"max_seq_length": 24}).to_string()).unwrap();
    assert_eq!(limit(), 24);
}

#[test]
fn the_real_model_packs_and_verifies() {
    let Some(folder) = model() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pack(&folder, &Description::of(&folder).unwrap(), Precision::Int8).unwrap()).unwrap();
    let packed = Packed::open(file.path()).unwrap();
    packed.verify().unwrap();
    // As in its first version, so that indexes and kept vectors go on working.
    assert_eq!(packed.manifest().fingerprint, "39b7b813795a930e");
}
