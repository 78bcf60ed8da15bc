//! The ways in which a model can be asked for a shape: those that it is known to have, and what its refusals say of them.

use crate::chat::ChatRequest;
use crate::error::Result;
use crate::provider::capability::SchemaMode;
use crate::provider::{Dialect, Provider};
use crate::schema::{self, Means};

/// Words of a refusal that is about the way of asking.
const REFUSALS: [&str; 15] = [
    "extra inputs are not permitted",
    "forced tool",
    "function calling",
    "grammar",
    "json mode",
    "output_config",
    "outputconfig",
    "response_format",
    "schema",
    "support tool",
    "too complex",
    "tool calling",
    "tool_choice",
    "toolconfig",
    "tools is not supported",
];

/// Words of a refusal of the field itself, whatever its value: only such a refusal holds for every request. Most refusals name the
/// field and are about one schema.
const OF_THE_FIELD: [&str; 16] = [
    "cannot find field",
    "does not support",
    "doesn't support",
    "extra fields not permitted",
    "extra inputs are not permitted",
    "extraneous key",
    "forced tool",
    "is not enabled",
    "not supported by this model",
    "not supported for this model",
    "not supported in this model",
    "not supported with this model",
    "tool_choice",
    "unknown field",
    "unknown parameter",
    "unrecognized request argument",
];

/// The ways in which the model can be asked.
pub(super) fn means(provider: &Provider, model: &str, request: &ChatRequest, is_stream: bool) -> Result<Means> {
    let capabilities = provider.capabilities(model)?;
    let fits = (!request.has_tools() || capabilities.schema_with_tools) && (!is_stream || capabilities.schema_with_stream);
    let known = schema::subset(provider.name(), model).or_else(|| schema::subset(provider.like(), model));
    let subset = known.or_else(|| match provider.dialect() {
        Dialect::OpenAi => None,
        dialect => schema::subset(dialect.as_str(), model),
    });
    Ok(Means {
        native: capabilities.schema == SchemaMode::Native && fits,
        forced_tool: capabilities.tools
            && capabilities.tool_choice_tool
            && (!capabilities.reasons(request.reasoning)
                || (capabilities.tool_choice_while_reasoning && capabilities.tools_while_reasoning))
            && !request.has_tools(),
        json_object: capabilities.json_object && (!request.has_tools() || capabilities.schema_with_tools),
        subset,
    })
}

/// Whether a refusal, in lower case, is about the way of asking.
pub(super) fn is_of_the_way(text: &str) -> bool {
    REFUSALS.iter().any(|word| text.contains(word))
}

/// Whether it is about the field and not about what stands in it.
pub(super) fn is_of_the_field(text: &str) -> bool {
    OF_THE_FIELD.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::chat::{Effort, Message, Reasoning, Role, Tool};
    use crate::config::{Config, Endpoint, Secret};
    use crate::provider::capability::Rules;
    use crate::schema::{Rung, Shape};

    fn open(name: &str) -> Provider {
        let mut config = Config::default();
        config.aws.region = Some("us-east-1".into());
        config.providers.insert(name.into(), Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() });
        Provider::open(name, &config, &Arc::new(Rules::new(None).unwrap())).unwrap()
    }

    fn rung(name: &str, model: &str, effort: Effort) -> Rung {
        let provider = open(name);
        let request = ChatRequest {
            messages: vec![Message::text(Role::User, "hi")],
            reasoning: Some(Reasoning { effort: Some(effort), ..Reasoning::default() }),
            ..ChatRequest::default()
        };
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
        let shape = Shape::from_response_format("answer", schema, true, "schema").unwrap();
        schema::plan(&shape, &means(&provider, model, &request, false).unwrap(), &[]).unwrap().rung
    }

    #[test]
    fn only_refusals_of_the_field_itself_are_learnt() {
        for (text, is_learnt) in [
            ("output_config: Extra inputs are not permitted", true),
            ("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.", true),
            ("This model does not support response format `json_schema`.", true),
            (
                "Invalid JSON payload received. Unknown name \"responseJsonSchema\" at 'generation_config': Cannot find field.",
                true,
            ),
            ("Unknown parameter: 'response_format'.", true),
            ("tool_choice: this model takes `auto` only", true),
            ("JSON mode is not enabled for models/gemma-3-27b-it", true),
            ("Function calling is not enabled for models/gemma-3-27b-it", true),
            ("Function calling is not enabled for this model", true),
            ("`tool calling` is not supported with this model", true),
            ("tools is not supported in this model. For a list of supported models, refer to the documentation.", true),
            ("registry.ollama.ai/library/x does not support tools", true),
            ("This model doesn't support tool use.", true),
            ("This model doesn't support the toolConfig.toolChoice.tool field. Remove it and try again.", true),
            ("The specified schema produces a constraint that has too many states for serving.", false),
            ("output_config.format.schema: unsupported quantifier in `pattern`", false),
            ("output_config.format.schema: For 'object' type, 'patternProperties' is not supported", false),
            ("invalid request: invalid JSON schema in response_format", false),
            ("Invalid 'response_format.json_schema.schema': 'oneOf' is not permitted.", false),
            ("Invalid schema for response_format 'answer': In context=(), 'required' is missing.", false),
            ("The compiled grammar is too large", false),
        ] {
            let text = text.to_lowercase();
            assert!(is_of_the_way(&text), "{text}");
            assert_eq!(is_of_the_field(&text), is_learnt, "{text}");
        }
    }

    /// What providers take in strict tools is data of theirs, what they take in schemas is ours: both describe the same grammars.
    #[test]
    fn a_tool_stays_strict_where_its_schema_could_be_told_whole() {
        let object = |property: serde_json::Value| json!({"type": "object", "properties": {"a": property}, "required": ["a"], "additionalProperties": false});
        let schemas = [
            object(json!({"type": "string", "description": "d", "title": "t"})),
            object(json!({"type": "integer", "minimum": 1})),
            object(json!({"type": "number", "multipleOf": 2})),
            object(json!({"type": "string", "minLength": 1})),
            object(json!({"type": "string", "pattern": "a(?!b)"})),
            object(json!({"type": "string", "pattern": "a+"})),
            object(json!({"type": "string", "format": "uri"})),
            object(json!({"type": "string", "format": "ipv6"})),
            object(json!({"type": "string", "enum": ["a", "b"]})),
            object(json!({"type": "string", "const": "a"})),
            object(json!({"type": ["string", "null"]})),
            object(json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
            object(json!({"oneOf": [{"type": "string"}, {"type": "integer"}]})),
            object(json!({"type": "array", "items": {"type": "string"}, "minItems": 1})),
            object(json!({"type": "array", "items": {"type": "string"}, "minItems": 2})),
            object(json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true})),
            object(json!({"type": "array"})),
            object(json!({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]})),
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"], "additionalProperties": false,
                "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"], "additionalProperties": false,
                "$defs": {"a": {"type": "string"}}}),
        ];
        for (name, model) in [
            ("openai", "gpt-5.4"),
            ("groq", "openai/gpt-oss-120b"),
            ("mistral", "mistral-large-latest"),
            ("anthropic", "claude-sonnet-4-6"),
            ("bedrock", "us.anthropic.claude-sonnet-4-6"),
        ] {
            let provider = open(name);
            let means = means(&provider, model, &ChatRequest::default(), false).unwrap();
            for schema in &schemas {
                let shape = Shape::from_response_format("answer", schema.clone(), true, "schema").unwrap();
                let is_whole = schema::plan(&shape, &means, &[]).is_ok_and(|plan| plan.holds_to(Some(schema)));
                let tool = Tool { name: "t".into(), parameters: schema.clone(), strict: Some(true), ..Tool::default() };
                let messages = vec![Message::text(Role::User, "hi")];
                let request = ChatRequest { model: model.into(), messages, tools: vec![tool], ..ChatRequest::default() };
                let written = provider.write(&request, false).unwrap();
                assert_eq!(
                    written.body().to_string().contains("\"strict\":true"),
                    is_whole,
                    "{name}: {schema} {:?}",
                    written.warnings
                );
            }
        }
    }

    #[test]
    fn a_json_mode_that_goes_with_no_tools_is_none_beside_them() {
        let mut config = Config::default();
        config.providers.insert("groq".into(), Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() });
        let provider = Provider::open("groq", &config, &Arc::new(Rules::new(None).unwrap())).unwrap();
        for (tools, has_json_mode) in [(vec![], true), (vec![Tool::default()], false)] {
            let request = ChatRequest { tools, ..ChatRequest::default() };
            let means = means(&provider, "llama-3.3-70b-versatile", &request, false).unwrap();
            assert_eq!(means.json_object, has_json_mode);
        }
    }

    #[test]
    fn a_row_of_the_operators_is_told_what_the_one_that_it_is_like_takes() {
        let like = Some("openai".into());
        let mut config = Config::default();
        config.providers.insert("ours".into(), Endpoint { api_key: Some(Secret::new("k")), like, ..Endpoint::default() });
        let provider = Provider::open("ours", &config, &Arc::new(Rules::new(None).unwrap())).unwrap();
        let means = means(&provider, "gpt-5.4", &ChatRequest::default(), false).unwrap();
        assert_eq!(means.subset.map(|subset| subset.name), Some("openai"));
    }

    #[test]
    fn a_model_that_takes_no_tools_while_it_reasons_is_not_asked_by_one() {
        let mut config = Config::default();
        config.providers.insert("openai".into(), Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() });
        let provider = Provider::open("openai", &config, &Arc::new(Rules::new(None).unwrap())).unwrap();
        for (model, effort, by_tool) in [
            ("gpt-5.6-sol", None, false),
            ("gpt-5.6-sol", Some(Effort::None), true),
            ("gpt-5.4", None, true),
            ("gpt-5.4", Some(Effort::Low), false),
        ] {
            let reasoning = effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() });
            let request = ChatRequest { reasoning, ..ChatRequest::default() };
            assert_eq!(means(&provider, model, &request, false).unwrap().forced_tool, by_tool, "{model} {effort:?}");
        }
    }

    #[test]
    fn a_model_that_reasons_is_not_asked_by_a_tool_that_it_must_call_where_it_would_refuse() {
        for (name, model, when_reasoning) in [
            ("anthropic", "claude-opus-4-1", Rung::Prompt),
            ("anthropic", "claude-3-7-sonnet-20250219", Rung::Prompt),
            ("anthropic", "claude-sonnet-4-5", Rung::Native),
            ("bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", Rung::Prompt),
            ("bedrock", "us.anthropic.claude-opus-4-7-v1:0", Rung::Prompt),
            ("anthropic-bedrock", "anthropic.claude-sonnet-4-6", Rung::Prompt),
        ] {
            assert_eq!(rung(name, model, Effort::Low), when_reasoning, "{model}");
            let otherwise = if when_reasoning == Rung::Native { Rung::Native } else { Rung::ForcedTool };
            assert_eq!(rung(name, model, Effort::None), otherwise, "{model}");
        }
    }
}
