//! Families of models that want words before a text or pool by the first token, for folders that do not say so: data by name.

use super::Pooling;

/// What a family puts before texts, and how it makes one vector of many.
pub(super) struct Family {
    /// As people call it.
    pub(super) name: &'static str,
    /// What the names of its models have in them, in lower case.
    within: &'static [&'static str],
    pub(super) pooling: Pooling,
    pub(super) query_prefix: &'static str,
    pub(super) document_prefix: &'static str,
}

/// From the model cards: intfloat/e5-*-v2, BAAI/bge-*-en-v1.5 and bge-*-zh-v1.5, mixedbread-ai/mxbai-embed-large-v1 and
/// 2d-large-v1 (xsmall-v1 is a MiniLM: mean, no prefix), Snowflake/snowflake-arctic-embed-*.
const FAMILIES: [Family; 4] = [
    Family {
        name: "e5",
        within: &["e5-small", "e5-base", "e5-large"],
        pooling: Pooling::Mean,
        query_prefix: "query: ",
        document_prefix: "passage: ",
    },
    Family {
        name: "bge (Chinese)",
        within: &["bge-small-zh", "bge-base-zh", "bge-large-zh"],
        pooling: Pooling::Cls,
        query_prefix: "为这个句子生成表示以用于检索相关文章：",
        document_prefix: "",
    },
    Family {
        name: "bge",
        within: &["bge-small", "bge-base", "bge-large"],
        pooling: Pooling::Cls,
        query_prefix: SEARCHING,
        document_prefix: "",
    },
    Family {
        name: "arctic-embed and mxbai-embed-large",
        within: &["arctic-embed", "mxbai-embed-large", "mxbai-embed-2d-large"],
        pooling: Pooling::Cls,
        query_prefix: SEARCHING,
        document_prefix: "",
    },
];

const SEARCHING: &str = "Represent this sentence for searching relevant passages: ";

/// The family of a model by its name; the first that fits.
pub(super) fn of(model: &str) -> Option<&'static Family> {
    let model = model.to_lowercase();
    FAMILIES.iter().find(|family| family.within.iter().any(|part| model.contains(part)))
}
