//! Every golden body, held against the vendors' own specifications: OpenAI's, Anthropic's, Mistral's, Groq's and Cohere's as JSON
//! Schema, AWS's service model and Google's discovery document by walks of our own that know no field but theirs.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use super::golden::{ASKED, files};
use super::shared::shared;
use super::support::provider;

fn document(path: &str) -> Option<Value> {
    let text = std::fs::read_to_string(shared(path)?).unwrap();
    let is_yaml = std::path::Path::new(path).extension().is_some_and(|extension| extension == "yaml");
    Some(if is_yaml { json_of(&YamlLoader::load_from_str(&text).unwrap()[0]) } else { serde_json::from_str(&text).unwrap() })
}

/// YAML as JSON. OpenAPI 3.0 says `nullable` where JSON Schema has a type of that name.
fn json_of(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Hash(fields) => {
            let name = |name: &Yaml| json_of(name).as_str().map_or_else(|| json_of(name).to_string(), str::to_owned);
            let mut fields: Map<String, Value> = fields.iter().map(|(key, value)| (name(key), json_of(value))).collect();
            match fields.shift_remove("nullable") {
                Some(Value::Bool(true)) => json!({"anyOf": [fields, {"type": "null"}]}),
                Some(other) if other != false => {
                    fields.insert("nullable".into(), other);
                    fields.into()
                }
                _ => fields.into(),
            }
        }
        Yaml::Array(items) => items.iter().map(json_of).collect(),
        Yaml::Real(number) => number.parse::<f64>().map_or(Value::Null, Value::from),
        Yaml::Integer(number) => (*number).into(),
        Yaml::String(text) => text.as_str().into(),
        Yaml::Boolean(is_so) => (*is_so).into(),
        _ => Value::Null,
    }
}

/// Every body that is sent to `provider`, whole and streamed.
fn bodies(provider: &str) -> Vec<(String, Value)> {
    let (_, model) = ASKED.iter().find(|(name, _)| *name == provider).unwrap();
    let mut found = Vec::new();
    for (path, golden) in files() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for stream in [false, true] {
            let sent = golden.sent(provider, model, stream);
            found.extend(sent.get("body").map(|body| (format!("{name} stream={stream}"), body.clone())));
        }
    }
    assert!(found.len() > 60, "{provider}: {}", found.len());
    found
}

/// `place` is where in the specification a body is described; `allowed` are its known faults: how bodies or errors begin.
fn check_schema(provider: &str, spec: &str, place: &str, allowed: &[(&str, &str)]) {
    let Some(spec) = document(spec) else { return };
    let mut schema = spec.pointer(place).unwrap().clone();
    schema["components"] = spec["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut wrong = Vec::new();
    for (name, body) in bodies(provider) {
        if allowed.iter().any(|(allowed, _)| name.starts_with(allowed)) {
            continue;
        }
        let errors = validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path()));
        let errors: Vec<String> = errors.filter(|error| !allowed.iter().any(|(fault, _)| error.starts_with(fault))).collect();
        if !errors.is_empty() {
            wrong.push(format!("{name}: {}", errors.join("; ").chars().take(600).collect::<String>()));
        }
    }
    assert!(wrong.is_empty(), "{} bodies break {provider}'s specification:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn openai_bodies_fit_openais_specification() {
    check_schema("openai", "contracts/openai/openapi.json", "/components/schemas/CreateChatCompletionRequest", &[]);
}

#[test]
fn anthropic_bodies_fit_anthropics_specification() {
    let allowed = [
        ("reasoning_always", "the specification is of May 2026 and older than models that always think"),
        ("think_between_tools", "likewise"),
        ("system_inside", "and than models that take instructions in mid-conversation"),
        ("extra ", "a made-up field of metadata"),
        ("raw", "a block as a server sent it, with a short id"),
    ];
    check_schema("anthropic", "contracts/anthropic/openapi-2026-05.json", "/components/schemas/CreateMessageParams", &allowed);
}

#[test]
fn mistral_bodies_fit_mistrals_specification() {
    check_schema("mistral", "contracts/mistral/openapi-public-doc.yaml", "/components/schemas/ChatCompletionRequest", &[]);
}

#[test]
fn groq_bodies_fit_groqs_specification() {
    let allowed = [(
        ": Additional properties are not allowed ('stream_options' was unexpected)",
        "the field is missing there; recorded exchanges have it, and are answered",
    )];
    check_schema("groq", "contracts/groq/openapi.yaml", "/components/schemas/CreateChatCompletionRequest", &allowed);
}

/// Fields that OpenAI's specification alone has, and what they may hold.
fn openai_fields() -> Map<String, Value> {
    let fields = json!({"logit_bias": {"1": 2}, "logprobs": true, "top_logprobs": 1, "metadata": {"a": "b"}, "store": true,
        "prompt_cache_key": "k", "prompt_cache_retention": "24h", "safety_identifier": "u", "verbosity": "low", "modalities": ["text"],
        "prediction": {"type": "content", "content": "x"}, "web_search_options": {}, "audio": {}, "moderation": {},
        "prompt_cache_options": {}});
    fields.as_object().unwrap().clone()
}

#[test]
fn fields_of_openais_own_reach_those_whose_specification_names_them() {
    for (name, model, spec, schema) in [
        ("mistral", "mistral-large-latest", "contracts/mistral/openapi-public-doc.yaml", "ChatCompletionRequest"),
        ("groq", "openai/gpt-oss-120b", "contracts/groq/openapi.yaml", "CreateChatCompletionRequest"),
    ] {
        let Some(spec) = document(spec) else { return };
        let known = &spec["components"]["schemas"][schema]["properties"];
        let request = json!({"model": model, "messages": [{"role": "user", "parts": [{"text": "Why?"}]}], "extra": openai_fields(),
            "extra_dialect": "openai"});
        let written = provider(name, None).write(&serde_json::from_value(request).unwrap(), false).unwrap();
        for field in openai_fields().keys() {
            let warning = format!("`{field}`: `{name}/{model}` does not take it; it was left out");
            let is_told = written.warnings.iter().any(|told| told.to_string() == warning);
            let is_known = !known[field].is_null();
            assert_eq!((written.body().get(field).is_some(), is_told), (is_known, !is_known), "{name} {field}");
        }
    }
}

/// Fields of a request that we have a word for, or, of threads, an answer.
const UNDERSTOOD: [&str; 14] = [
    "max_tokens",
    "messages",
    "model",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "thread",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

#[test]
fn no_field_of_anthropics_own_reaches_another_dialect() {
    // Those of the SDK's betas, which no specification here has.
    let mut fields: BTreeSet<String> =
        ["billing_policy", "compaction", "fallback_credit_token", "fallbacks"].map(str::to_owned).into();
    for (path, schemas) in [
        (
            "contracts/anthropic/openapi-2026-05.json",
            ["CreateMessageParams", "BetaCreateMessageParams"].map(|it| format!("/components/schemas/{it}")),
        ),
        (
            "contracts/anthropic/sdk-2.12.0-types.schema.json",
            ["NonStreaming", "Streaming"].map(|it| format!("/message_create_params.MessageCreateParams{it}")),
        ),
    ] {
        let Some(spec) = document(path) else { return };
        for schema in schemas {
            fields.extend(spec.pointer(&schema).unwrap()["properties"].as_object().unwrap().keys().cloned());
        }
    }
    fields.retain(|field| !UNDERSTOOD.contains(&field.as_str()));
    assert!(fields.len() > 15, "{fields:?}");
    let extra: Map<String, Value> = fields.iter().map(|field| (field.clone(), json!({"a": 1}))).collect();
    let request = json!({"model": "m", "messages": [{"role": "user", "parts": [{"text": "Why?"}]}], "extra": extra,
        "extra_dialect": "anthropic"});
    let written = provider("custom", None).write(&serde_json::from_value(request).unwrap(), false).unwrap();
    for field in &fields {
        let warning = format!("`{field}`: `custom/m` does not take it; it was left out");
        let is_told = written.warnings.iter().any(|told| told.to_string() == warning);
        assert!(written.body().get(field).is_none() && is_told, "{field}: name it in `src/provider/own.rs`");
    }
}

#[test]
fn cohere_bodies_fit_coheres_specification() {
    let both = "the specification wants `response_format` in one of two shapes, and what it calls JSON has the form of both";
    let allowed = [("json_object ", both), ("json_schema ", both)];
    let place = "/paths/~1v2~1chat/post/requestBody/content/application~1json/schema";
    check_schema("cohere", "contracts/cohere/cohere-openapi.yaml", place, &allowed);
}

#[test]
fn bedrock_bodies_fit_the_service_model() {
    let Some(model) = document("contracts/aws/bedrock-runtime/service-2.json") else { return };
    let mut wrong = Vec::new();
    for (name, body) in bodies("bedrock") {
        // A field of the caller's own that AWS does not know.
        if name.starts_with("extra ") {
            continue;
        }
        let mut body = body;
        body["modelId"] = "m".into();
        shape(&model["shapes"], "ConverseRequest", &body, &name, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Holds a value against a shape of AWS's: members, required ones, unions, enumerations, lengths, patterns.
fn shape(shapes: &Value, name: &str, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let shape_of = &shapes[name];
    let mut fail = |why: String| wrong.push(format!("{at}: {why} ({name})"));
    match shape_of["type"].as_str().unwrap_or_default() {
        "structure" if shape_of["document"] == true => {}
        "structure" => {
            let Some(fields) = value.as_object() else { return fail("no object".into()) };
            let members = shape_of["members"].as_object().cloned().unwrap_or_default();
            if shape_of["union"] == true && fields.len() != 1 {
                fail(format!("{} members of a union", fields.len()));
            }
            for required in shape_of["required"].as_array().into_iter().flatten() {
                if !fields.contains_key(required.as_str().unwrap()) {
                    fail(format!("`{required}` is missing"));
                }
            }
            for (field, inner) in fields {
                match members.get(field) {
                    None => wrong.push(format!("{at}: `{field}` is unknown ({name})")),
                    Some(member) => shape(shapes, member["shape"].as_str().unwrap(), inner, &format!("{at}/{field}"), wrong),
                }
            }
        }
        "list" => match value.as_array() {
            None => fail("no list".into()),
            Some(items) => {
                let count = items.len() as u64;
                if count < shape_of["min"].as_u64().unwrap_or(0) || count > shape_of["max"].as_u64().unwrap_or(u64::MAX) {
                    fail(format!("{count} items"));
                }
                let member = shape_of["member"]["shape"].as_str().unwrap();
                for (number, item) in items.iter().enumerate() {
                    shape(shapes, member, item, &format!("{at}/{number}"), wrong);
                }
            }
        },
        "string" => match value.as_str() {
            None => fail("no string".into()),
            Some(text) => {
                let count = text.chars().count() as u64;
                if count < shape_of["min"].as_u64().unwrap_or(0) || count > shape_of["max"].as_u64().unwrap_or(u64::MAX) {
                    fail(format!("{count} characters"));
                }
                if shape_of["enum"].as_array().is_some_and(|words| !words.contains(value)) {
                    fail(format!("`{text}` is none of the words"));
                }
                let word = |more: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.as_bytes().contains(&byte));
                if (name == "ToolName" && !word("_-")) || (name == "ToolUseId" && !word("_.:-")) {
                    fail(format!("`{text}` breaks the pattern"));
                }
            }
        },
        "integer" | "long" if !value.is_i64() && !value.is_u64() => fail("no whole number".into()),
        "float" | "double" if !value.is_number() => fail("no number".into()),
        "float" | "double" if value.as_f64() > shape_of["max"].as_f64().or(Some(f64::MAX)) => {
            fail(format!("{value} is too high"));
        }
        "boolean" if !value.is_boolean() => fail("neither true nor false".into()),
        "blob" if !value.is_string() => fail("no base64".into()),
        _ => {}
    }
}

#[test]
fn gemini_bodies_hold_no_field_that_google_does_not_know() {
    let Some(discovery) = document("contracts/google-vertex/aiplatform.v1.json") else { return };
    let schemas = discovery["schemas"].as_object().unwrap();
    let mut wrong = Vec::new();
    for (name, body) in bodies("gemini").into_iter().filter(|(name, _)| !name.starts_with("extra ")) {
        google(schemas, "GoogleCloudAiplatformV1GenerateContentRequest", &body, &name, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Holds a value against a schema of Google's: known fields, enumerations.
fn google(schemas: &Map<String, Value>, name: &str, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let (Some(schema), Some(fields)) = (schemas.get(name), value.as_object()) else {
        return wrong.push(format!("{at}: no object ({name})"));
    };
    for (field, inner) in fields {
        let at = format!("{at}/{field}");
        let Some(property) = schema["properties"].get(field) else {
            wrong.push(format!("{at}: is unknown ({name})"));
            continue;
        };
        let (property, items) = match inner {
            Value::Array(items) if property["items"].is_object() => (&property["items"], items.as_slice()),
            one => (property, std::slice::from_ref(one)),
        };
        for item in items {
            if let Some(inner) = property["$ref"].as_str() {
                google(schemas, inner, item, &at, wrong);
            } else if property["enum"].as_array().is_some_and(|words| !words.contains(item)) {
                wrong.push(format!("{at}: {item} is none of the words"));
            }
        }
    }
}
