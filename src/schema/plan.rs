//! How one model is asked for a shape: the best way that it has, and why not a better one.

use serde::Serialize;
use serde_json::Value;

use super::lower::{Loss, Lowered, lower, whole};
use super::subset::Subset;
use super::{Method, Shape, StrictMode};
use crate::error::{Code, Error, Result};

/// The tool whose call is the answer, where the shape is asked for as a tool.
pub(crate) const TOOL: &str = "answer";

/// Why a way that the model lacks is not taken.
const NOT_THERE: &str = "the model does not have it, or not for this request";

/// A way of asking, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The provider's own schema parameter.
    Native,
    /// One tool that the model must call.
    ForcedTool,
    /// The provider's JSON mode, and the schema in the prompt.
    JsonMode,
    /// The schema in the prompt.
    Prompt,
}

impl Rung {
    /// As it is written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::ForcedTool => "forced_tool",
            Self::JsonMode => "json_mode",
            Self::Prompt => "prompt",
        }
    }
}

/// What a model can be asked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Means {
    /// It has a schema parameter that works with this request's tools and streaming.
    pub native: bool,
    /// It accepts a tool that it must call, beside the reasoning that is asked for, and the request has no tools of its own.
    pub forced_tool: bool,
    /// It has a JSON mode that works with this request's tools.
    pub json_object: bool,
    /// What of JSON Schema it takes; where that is not known, it may ignore the schema without a word, so the prompt tells it,
    /// too.
    pub subset: Option<&'static Subset>,
}

/// How it is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The way.
    pub rung: Rung,
    /// The schema to send, natively or as the tool's parameters; none where only the prompt tells.
    pub schema: Option<Value>,
    /// Whether the provider is held to it.
    pub strict: bool,
    /// The root was no object, and the answer comes in [`super::WRAPPER`].
    pub is_wrapped: bool,
    /// What the provider is not told.
    pub losses: Vec<Loss>,
    /// The provider may ignore the schema without a word.
    pub may_ignore: bool,
    /// What the prompt says.
    pub instructions: Option<String>,
    /// Better ways, and why they were not taken.
    pub skipped: Vec<Skip>,
}

/// A way of asking that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skip {
    /// The way.
    pub rung: Rung,
    /// Why.
    pub why: String,
}

/// Chooses the way. `refused` are those that the provider has answered with an error.
///
/// # Errors
/// `strict_mode` is `require` and the provider cannot be held to the schema.
pub(crate) fn plan(shape: &Shape, means: &Means, refused: &[Rung]) -> Result<Plan> {
    let mut skipped = Vec::new();
    let mut skip = |rung: Rung, why: String| skipped.push(Skip { rung, why });
    let canonical = shape.schema.as_deref().map(super::Schema::value);
    let mut chosen: Option<(Rung, Lowered)> = None;
    if let (Some(canonical), true) = (canonical, shape.method != Method::JsonMode) {
        for (rung, has) in [(Rung::Native, means.native), (Rung::ForcedTool, means.forced_tool)] {
            let lowered = if refused.contains(&rung) {
                Err("the provider refused it".to_owned())
            } else if !has {
                Err(NOT_THERE.to_owned())
            } else {
                match means.subset.filter(|subset| rung == Rung::Native && (shape.strict || !subset.can_be_loose)) {
                    Some(subset) => lower(canonical, subset).map_err(|unfit| format!("`{}`: {}", unfit.pointer, unfit.why)),
                    None => Ok(whole(canonical)),
                }
            };
            match lowered {
                Ok(lowered) => {
                    chosen = Some((rung, lowered));
                    break;
                }
                Err(why) => skip(rung, why),
            }
        }
    }
    if shape.strict_mode == StrictMode::Require && !matches!(chosen, Some((Rung::Native, _))) {
        let why = skipped.first().map_or("`json_mode` holds the provider to nothing", |skip| skip.why.as_str());
        let message = format!("`structured_output.strict_mode`: `require`, but the model cannot be held to the schema: {why}");
        return Err(Error::new(Code::NotSupported, message));
    }
    Ok(match chosen {
        Some((rung, lowered)) => Plan {
            rung,
            strict: shape.strict && rung == Rung::Native,
            is_wrapped: lowered.is_wrapped,
            losses: lowered.losses,
            may_ignore: means.subset.is_none(),
            instructions: match means.subset {
                _ if rung != Rung::Native => None,
                None => Some(instructions(Some(&lowered.schema))),
                Some(subset) if subset.wants_words => Some(instructions(None)),
                Some(_) => None,
            },
            schema: Some(lowered.schema),
            skipped,
        },
        None => {
            let json_mode = means.json_object && !refused.contains(&Rung::JsonMode);
            if !json_mode {
                skipped.push(Skip { rung: Rung::JsonMode, why: NOT_THERE.into() });
            }
            let lowered = canonical.map(whole);
            Plan {
                rung: if json_mode { Rung::JsonMode } else { Rung::Prompt },
                schema: None,
                strict: false,
                is_wrapped: lowered.as_ref().is_some_and(|lowered| lowered.is_wrapped),
                losses: Vec::new(),
                may_ignore: true,
                instructions: Some(instructions(lowered.as_ref().map(|lowered| &lowered.schema))),
                skipped,
            }
        }
    })
}

impl Plan {
    /// Whether the provider itself guarantees that the answer fits what was asked for: nothing was lost or added on the way to it.
    pub(crate) fn holds_to(&self, asked: Option<&Value>) -> bool {
        self.strict && !self.is_wrapped && self.losses.is_empty() && !self.may_ignore && self.schema.as_ref() == asked
    }
}

/// What a prompt says of the shape. Keys keep the order of the schema.
fn instructions(schema: Option<&Value>) -> String {
    match schema {
        Some(schema) => {
            format!(
                "Answer with exactly one JSON object, without any text around it, that is valid under this JSON Schema:\n{schema}"
            )
        }
        None => "Answer with exactly one JSON object, without any text around it.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::Schema;
    use super::super::subset::{ANTHROPIC, COHERE, GEMINI, OPENAI};
    use super::*;

    fn shape(schema: Value) -> Shape {
        Shape::from_response_format("answer", schema, true, "schema").unwrap()
    }

    const ALL: Means = Means { native: true, forced_tool: true, json_object: true, subset: Some(&OPENAI) };

    #[test]
    fn the_best_way_is_taken_and_the_others_are_accounted_for() {
        let simple = shape(json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}));
        let rung = |means: Means, refused: &[Rung]| plan(&simple, &means, refused).unwrap().rung;
        assert_eq!(rung(ALL, &[]), Rung::Native);
        assert_eq!(rung(ALL, &[Rung::Native]), Rung::ForcedTool);
        assert_eq!(rung(Means { native: false, forced_tool: false, ..ALL }, &[]), Rung::JsonMode);
        assert_eq!(rung(ALL, &[Rung::Native, Rung::ForcedTool, Rung::JsonMode]), Rung::Prompt);
        let map = shape(
            json!({"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "integer"}}}}),
        );
        let plan = plan(&map, &ALL, &[]).unwrap();
        assert_eq!(plan.rung, Rung::ForcedTool);
        assert_eq!(
            plan.skipped,
            [Skip { rung: Rung::Native, why: "`/properties/m`: an object whose property names are not told".into() }]
        );
    }

    #[test]
    fn only_who_can_be_told_not_to_hold_the_model_is_told_the_whole_schema() {
        let mut loose = shape(json!({"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}));
        loose.strict = false;
        let sent = |subset| plan(&loose, &Means { subset: Some(subset), ..ALL }, &[]).unwrap();
        assert_eq!(sent(&OPENAI).schema.as_ref(), loose.schema.as_deref().map(Schema::value));
        for subset in [&ANTHROPIC, &GEMINI, &COHERE] {
            let plan = sent(subset);
            assert_eq!((plan.rung, plan.losses[0].keyword.as_str()), (Rung::Native, "minLength"), "{}", subset.name);
            assert!(!plan.strict);
        }
    }

    #[test]
    fn cohere_is_asked_for_json_in_words_too() {
        let simple = shape(json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}));
        let plan = |subset| plan(&simple, &Means { subset: Some(subset), ..ALL }, &[]).unwrap();
        let cohere = plan(&COHERE);
        let words = "Answer with exactly one JSON object, without any text around it.";
        assert_eq!((cohere.rung, cohere.instructions.as_deref()), (Rung::Native, Some(words)));
        assert!(cohere.holds_to(simple.schema.as_deref().map(Schema::value)));
        assert_eq!(plan(&OPENAI).instructions, None);
    }

    #[test]
    fn require_turns_a_lesser_way_into_an_error() {
        let mut shape = shape(json!({"type": "object", "properties": {"a": {"type": "string"}}}));
        shape.strict_mode = StrictMode::Require;
        assert_eq!(plan(&shape, &Means { subset: Some(&COHERE), ..ALL }, &[]).unwrap().rung, Rung::Native);
        let error = plan(&shape, &Means { native: false, ..ALL }, &[]).unwrap_err();
        assert_eq!(error.code(), Code::NotSupported);
        assert!(error.message().contains("`require`, but the model cannot be held to the schema: the model does not have it"));
        shape.schema = None;
        shape.method = Method::JsonMode;
        assert!(plan(&shape, &ALL, &[]).is_err());
    }

    #[test]
    fn a_root_that_is_no_object_is_wrapped_on_every_way() {
        let mut list = shape(json!({"type": "array", "items": {"type": "string"}}));
        for refused in [&[][..], &[Rung::Native], &[Rung::Native, Rung::ForcedTool]] {
            assert!(plan(&list, &ALL, refused).unwrap().is_wrapped);
        }
        list.schema = Some(Arc::new(Schema::new(json!({"type": "object"}), "s").unwrap()));
        assert!(!plan(&list, &ALL, &[]).unwrap().is_wrapped);
    }
}
