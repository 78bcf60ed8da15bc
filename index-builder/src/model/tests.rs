//! What getting the model promises. With the model at hand (`OMNI_MODEL`, else `models/`) the real one is copied.

use super::*;
use crate::testing::model::model;

fn tree(root: &Path) -> Vec<String> {
    let found = WalkDir::new(root).min_depth(1).sort_by_file_name().into_iter().map(Result::unwrap);
    found.map(|found| found.path().strip_prefix(root).unwrap().display().to_string()).collect()
}

#[test]
fn an_origin_is_a_word_or_a_folder() {
    let origin = |text: &str| text.parse::<Origin>().unwrap();
    assert_eq!(origin("auto"), Origin::Auto);
    assert_eq!(origin("pypi"), Origin::Pypi);
    assert_eq!(origin("hub"), Origin::Hub);
    assert_eq!(origin("./hub"), Origin::Folder("./hub".into()));
}

#[test]
fn a_wrong_digest_is_named_and_nothing_is_written() {
    let root = tempfile::tempdir().unwrap();
    let from = root.path().join("from");
    std::fs::create_dir(&from).unwrap();
    let Some(model) = model() else { return };
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(model.join(name), from.join(name)).unwrap();
    }
    std::fs::write(from.join("model.safetensors"), "abc").unwrap();
    let before = tree(root.path());
    let error =
        ensure(&Origin::Folder(from.clone()), &root.path().join("to"), Precision::Int8, Progress::Quiet).unwrap_err().to_string();
    let from = from.display();
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "all-MiniLM-L6-v2: not to be had",
            &format!(
                "  {from}: {from}/model.safetensors: sha256 is ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, \
                 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db is right; the file is of another model or damaged"
            ),
            "  what helps: put config.json, tokenizer.json, model.safetensors of \
             https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2 into that folder, or leave `--from` out and have them \
             fetched",
        ]
    );
    assert_eq!(tree(root.path()), before);
}

#[test]
fn a_missing_file_or_folder_is_named() {
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join("to");
    let error =
        |from: &Path| ensure(&Origin::Folder(from.to_owned()), &to, Precision::Int8, Progress::Quiet).unwrap_err().to_string();
    let (empty, none) = (root.path().join("empty"), root.path().join("none"));
    std::fs::create_dir(&empty).unwrap();
    assert!(error(&empty).contains("empty/config.json: No such file or directory"), "{}", error(&empty));
    assert!(error(&none).contains("none: no such folder; `--from` takes `auto`, `pypi`, `hub` or a folder"), "{}", error(&none));
    assert_eq!(tree(root.path()), ["empty"]);
}

#[test]
fn a_folder_with_other_files_is_never_replaced() {
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join("to");
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("thesis.docx"), "years of work").unwrap();
    let error = ensure(&Origin::Folder("unused".into()), &to, Precision::Int8, Progress::Quiet).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("`{}`: holds `thesis.docx`, which is not part of the model; choose another folder with `--to`", to.display())
    );
    assert_eq!(tree(root.path()), ["to", "to/thesis.docx"]);
}

#[test]
fn a_folder_is_copied_whole_and_then_left_alone() {
    let Some(model) = model() else { return };
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join("models/here");
    std::fs::create_dir_all(&to).unwrap();
    // What a broken download left is replaced.
    std::fs::write(to.join("model.safetensors"), "half").unwrap();
    let ensure = |origin| ensure(&origin, &to, Precision::Int8, Progress::Quiet).unwrap();
    ensure(Origin::Folder(model.clone()));
    let expected = [
        "models",
        "models/here",
        "models/here/config.json",
        "models/here/model-int8.bin",
        "models/here/model.safetensors",
        "models/here/tokenizer.json",
    ];
    assert_eq!(tree(root.path()), expected);
    // What is there and right is neither fetched nor packed again.
    let written = || expected[2..].iter().map(|path| root.path().join(path).metadata().unwrap().modified().unwrap());
    let before: Vec<_> = written().collect();
    ensure(Origin::Hub);
    assert!(written().eq(before));
    assert_eq!(packing::pack_in(&to, Precision::Int8).unwrap(), None);
    // One of an older version is packed again, to the same bytes.
    let packed = to.join("model-int8.bin");
    let bytes = std::fs::read(&packed).unwrap();
    let mut older = bytes.clone();
    older[8] = 1;
    std::fs::write(&packed, older).unwrap();
    ensure(Origin::Hub);
    assert!(std::fs::read(&packed).unwrap() == bytes);
}

#[test]
fn a_rewritten_file_counts_by_what_it_says() {
    let Some(model) = model() else { return };
    let root = tempfile::tempdir().unwrap();
    let check = |name: &str, change: fn(&mut serde_json::Value)| {
        let part = FILES.into_iter().find(|part| part.name == name).unwrap();
        let mut value = serde_json::from_slice(&std::fs::read(model.join(name)).unwrap()).unwrap();
        change(&mut value);
        let path = root.path().join(name);
        std::fs::write(&path, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
        check::check_file(&path, &part).map_err(|why| why.split_once("says something else: ").unwrap().1.to_owned())
    };
    assert_eq!(check("config.json", |config| config["_name_or_path"] = "elsewhere".into()), Ok(()));
    assert_eq!(check("config.json", |config| config["hidden_size"] = 768.into()), Err("`hidden_size` is not 384".to_owned()));
    assert_eq!(check("tokenizer.json", |tokenizer| tokenizer["truncation"] = serde_json::Value::Null), Ok(()));
    let refused = |change: fn(&mut serde_json::Value)| {
        let what = check("tokenizer.json", change).unwrap_err();
        what.split_once(" is not ").unwrap().0.to_owned()
    };
    // Each decides which tokens a text has.
    assert_eq!(refused(|tokenizer| tokenizer["normalizer"]["lowercase"] = false.into()), "`/normalizer`");
    assert_eq!(refused(|tokenizer| tokenizer["normalizer"]["strip_accents"] = false.into()), "`/normalizer`");
    assert_eq!(refused(|tokenizer| tokenizer["normalizer"]["clean_text"] = false.into()), "`/normalizer`");
    let shorter = |tokenizer: &mut serde_json::Value| tokenizer["model"]["max_input_chars_per_word"] = 10.into();
    assert_eq!(refused(shorter), "`/model/max_input_chars_per_word`");
    assert_eq!(refused(|tokenizer| tokenizer["model"]["unk_token"] = "[PAD]".into()), "`/model/unk_token`");
    assert_eq!(refused(|tokenizer| drop(tokenizer["added_tokens"].as_array_mut().unwrap().pop())), "`/added_tokens`");
    assert_eq!(refused(|tokenizer| tokenizer["post_processor"]["single"][0] = "x".into()), "`/post_processor/single`");
    let swapped = |tokenizer: &mut serde_json::Value| {
        tokenizer["model"]["vocab"]["dog"] = tokenizer["model"]["vocab"]["cat"].clone();
    };
    assert_eq!(check("tokenizer.json", swapped), Err("its vocabulary is another one".to_owned()));
}

#[test]
fn a_hub_that_cannot_be_reached_is_one_line() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let root = tempfile::tempdir().unwrap();
    let endpoint = format!("http://127.0.0.1:{port}");
    let failure = hub::fetch_from(&endpoint, root.path(), &root.path().join("fresh"), Progress::Quiet).unwrap_err();
    assert!(failure.starts_with(&format!("{endpoint}: config.json: ")), "{failure}");
    assert!(failure.contains("onnection refused") && !failure.contains('\n'), "{failure}");
}
