//! What the operator said, made into a provider.

mod turns;

use serde_json::json;

use super::*;
use crate::chat::{Media, Message, Part, Raw, Role, Source, Tool, ToolCall, ToolResult};
use crate::config::{Config, Endpoint, Secret};

fn config(name: &str, endpoint: Endpoint) -> Config {
    let mut config = Config::default();
    config.providers.insert(name.to_owned(), endpoint);
    config
}

fn open(name: &str, config: &Config) -> Result<Provider> {
    Provider::open(name, config, &Arc::new(Rules::new(None).unwrap()))
}

fn keyed() -> Endpoint {
    Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() }
}

fn hi(model: &str) -> ChatRequest {
    ChatRequest { model: model.into(), messages: vec![Message::text(Role::User, "hi")], ..ChatRequest::default() }
}

/// What a provider with a key is sent.
fn written(name: &str, request: &ChatRequest) -> Written {
    let endpoint = Endpoint { region: Some("eu-west-1".into()), project: Some("p".into()), ..keyed() };
    open(name, &config(name, endpoint)).unwrap().write(request, false).unwrap()
}

#[test]
fn what_is_missing_is_named() {
    let message = |name: &str, config: &Config| open(name, config).unwrap_err().message().to_owned();
    let none = Config::default();
    assert_eq!(message("openai", &none), "`openai` needs a key; set `OPENAI_API_KEY`");
    assert_eq!(message("custom", &none), "`custom` has no address; set `CUSTOM_BASE_URL`");
    assert_eq!(message("bedrock", &none), "`bedrock` has no address; set `AWS_REGION`");
    assert_eq!(message("vertexai", &none), "`vertexai` has no address; set `GOOGLE_CLOUD_PROJECT`");
    assert!(message("opnai", &none).starts_with("`opnai`: no such provider; there are `openai`, `anthropic`, `bedrock`, "));
    let like = config("ours", Endpoint { like: Some("x".into()), ..Endpoint::default() });
    assert!(message("ours", &like).starts_with("`providers.ours.like`: `x`: no such provider"));
    let provider = open("openai", &config("openai", keyed())).unwrap();
    let expected = "`model_name`: missing, and `openai` has no model by default; name one, or set `OPENAI_MODEL`";
    assert_eq!(provider.model(None).unwrap_err().message(), expected);
    assert_eq!(provider.model(Some("m")).unwrap(), "m");
}

#[test]
fn every_row_knows_where_to_send_what() {
    let table = [
        ("openai", "gpt-4o", false, "https://api.openai.com/v1/chat/completions"),
        ("anthropic", "claude-sonnet-5-5", true, "https://api.anthropic.com/v1/messages"),
        ("bedrock", "us.x:0", false, "https://bedrock-runtime.eu-west-1.amazonaws.com/model/us.x%3A0/converse"),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:1:inference-profile/x",
            true,
            "https://bedrock-runtime.eu-west-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse-stream",
        ),
        (
            "vertexai",
            "gemini-3-flash",
            true,
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/gemini-3-flash:streamGenerateContent?alt=sse",
        ),
        (
            "gemini",
            "models/gemini-3-flash",
            false,
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-3-flash:generateContent",
        ),
        ("mistral", "m", false, "https://api.mistral.ai/v1/chat/completions"),
        ("cohere", "m", false, "https://api.cohere.com/v2/chat"),
        ("groq", "m", false, "https://api.groq.com/openai/v1/chat/completions"),
        (
            "anthropic-vertex",
            "claude-sonnet-4-5@20250929",
            true,
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5%4020250929:streamRawPredict",
        ),
        ("anthropic-bedrock", "anthropic.claude-x", false, "https://bedrock-mantle.eu-west-1.api.aws/anthropic/v1/messages"),
        ("openai-bedrock", "openai.gpt-oss", false, "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1/chat/completions"),
    ];
    for (name, model, stream, expected) in table {
        let endpoint = Endpoint { project: Some("p".into()), ..keyed() };
        let mut config = config(name, endpoint);
        config.aws.region = Some("eu-west-1".into());
        let written = open(name, &config).unwrap().write(&hi(model), stream).unwrap();
        assert_eq!(written.request.url.as_str(), expected);
    }
    let written =
        open("anthropic-vertex", &config("anthropic-vertex", Endpoint { project: Some("p".into()), ..keyed() })).unwrap();
    let body = written.write(&hi("claude-sonnet-4-5@20250929"), false).unwrap().body();
    assert_eq!((body.get("model"), &body["anthropic_version"]), (None, &Value::from("vertex-2023-10-16")));
    let regional = Endpoint { project: Some("p".into()), location: Some("europe-west4".into()), ..keyed() };
    let written = open("vertexai", &config("vertexai", regional)).unwrap().write(&hi("m"), false).unwrap();
    assert!(
        written
            .request
            .url
            .as_str()
            .starts_with("https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/")
    );
}

#[test]
fn the_address_is_joined_with_or_without_a_slash() {
    for base in ["http://h:1/v1", "http://h:1/v1/"] {
        let provider =
            open("custom", &config("custom", Endpoint { base_url: Some(base.into()), ..Endpoint::default() })).unwrap();
        assert_eq!(provider.write(&hi("m"), false).unwrap().request.url.as_str(), "http://h:1/v1/chat/completions");
    }
}

#[test]
fn a_model_is_a_name_and_not_a_way() {
    let provider = open("gemini", &config("gemini", keyed())).unwrap();
    for model in ["..", ".", "", "models/.."] {
        assert_eq!(provider.write(&hi(model), false).unwrap_err().code(), Code::InvalidModel, "{model}");
    }
    let written = provider.write(&hi("../../x?key=y#z"), false).unwrap();
    assert_eq!(written.request.url.path(), "/v1beta/models/..%2F..%2Fx%3Fkey%3Dy%23z:generateContent");
}

#[test]
fn an_operators_row_is_like_one_of_ours() {
    let endpoint = Endpoint {
        like: Some("groq".into()),
        base_url: Some("http://llm.corp/v1".into()),
        auth: Some("x-api-token".into()),
        headers: [("x-team".to_owned(), "a".to_owned())].into(),
        ..keyed()
    };
    let provider = open("ours", &config("ours", endpoint)).unwrap();
    assert_eq!((provider.name(), provider.dialect()), ("ours", Dialect::OpenAi));
    assert!(matches!(&provider.auth, Auth::Header(name, _) if name == "x-api-token"));
    let written = provider.write(&hi("m"), false).unwrap();
    assert_eq!(written.request.headers["x-team"], "a");
    let inside = Endpoint { base_url: Some("http://169.254.169.254/".into()), ..Endpoint::default() };
    let message = open("custom", &config("custom", inside)).unwrap_err().message().to_owned();
    assert_eq!(message, "`CUSTOM_BASE_URL`: `169.254.169.254` hands out credentials");
}

#[test]
fn what_is_wrong_about_a_provider_is_named() {
    let message = |endpoint: Endpoint| open("ours", &config("ours", endpoint)).unwrap_err().message().to_owned();
    let ours = || Endpoint { like: Some("custom".into()), base_url: Some("http://llm.corp/v1".into()), ..Endpoint::default() };
    for api_key in [None, Some(Secret::new("k"))] {
        let auth = Some("x api key".to_owned());
        assert_eq!(message(Endpoint { auth, api_key, ..ours() }), "`providers.ours.auth`: `x api key`: no header is called so");
    }
    let headers = [("a b".to_owned(), "x".to_owned())].into();
    assert_eq!(message(Endpoint { headers, ..ours() }), "`providers.ours.headers.a b`: no header can be so");
    let unset = Endpoint { key_variable: Some("OURS_API_KEY".into()), ..ours() };
    let expected = "`ours` needs a key; set `OURS_API_KEY`";
    assert_eq!(message(unset.clone()), expected, "whoever named the variable of a key wants it sent");
    let inside = Endpoint { base_url: Some("http://169.254.169.254/".into()), ..ours() };
    assert_eq!(message(inside), "`providers.ours.base_url`: `169.254.169.254` hands out credentials");
    let nowhere = Endpoint { base_url: None, ..ours() };
    let expected = "`ours` has no address; set `providers.ours.base_url`";
    assert_eq!(message(nowhere), expected);
    let provider = open("ours", &config("ours", ours())).unwrap();
    assert!(provider.model(None).unwrap_err().message().ends_with("name one, or set `providers.ours.model`"));
    open("ours", &config("ours", Endpoint { auth: Some("none".into()), ..unset })).unwrap();
}

#[test]
fn whose_key_was_refused_and_where_it_is_set_is_named() {
    let refused = |name: &str, endpoint: Endpoint, status: u16| {
        let reply = Reply { status, headers: reqwest::header::HeaderMap::new(), body: "{}".into() };
        open(name, &config(name, endpoint)).unwrap().refusal(&reply).message().to_owned()
    };
    assert_eq!(refused("openai", keyed(), 401), "`openai` refused the key (status 401); check `OPENAI_API_KEY`");
    let ours = Endpoint {
        like: Some("custom".into()),
        base_url: Some("http://llm.corp/v1".into()),
        key_variable: Some("OURS_API_KEY".into()),
        ..keyed()
    };
    assert_eq!(refused("ours", ours, 401), "`ours` refused the key (status 401); check `OURS_API_KEY`");
    let signed = Endpoint { region: Some("eu-west-1".into()), ..Endpoint::default() };
    let expected = "`bedrock` refused the key (status 403); check the AWS credentials and their rights";
    assert_eq!(refused("bedrock", signed, 403), expected);
    assert_eq!(refused("openai", keyed(), 500), "the provider refused (status 500): no reason given");
    let moved = "the provider redirects (status 302), which is not followed; ";
    assert_eq!(refused("openai", keyed(), 302), format!("{moved}does a proxy answer in its place?"));
    let custom = Endpoint { base_url: Some("http://llm.corp/v1".into()), ..keyed() };
    assert_eq!(refused("custom", custom, 302), format!("{moved}is `CUSTOM_BASE_URL` right?"));
}

#[test]
fn an_operators_row_has_the_rules_of_both_its_names() {
    let endpoint = Endpoint { like: Some("groq".into()), ..keyed() };
    let rules = Rules::new(Some("[[rule]]\nprovider = [\"ours\"]\nset = { temperature = false }")).unwrap();
    let provider = Provider::open("ours", &config("ours", endpoint), &Arc::new(rules)).unwrap();
    let capabilities = provider.capabilities("openai/gpt-oss-120b").unwrap();
    assert_eq!((capabilities.temperature, capabilities.max_tokens.as_str()), (false, "max_completion_tokens"));
    let azure = Endpoint { base_url: Some("http://llm.corp/v1".into()), like: Some("custom".into()), ..Endpoint::default() };
    let azure = open("azure-eu", &config("azure-eu", azure)).unwrap();
    assert!(azure.capabilities("gpt-5.5").unwrap().reasons_by_default, "by what it is called");
}

#[test]
fn each_of_awss_services_is_signed_for_by_its_name() {
    let service = |name: &str| {
        let mut config = Config::default();
        config.aws.region = Some("us-east-1".into());
        match open(name, &config).unwrap().auth {
            Auth::Aws(signer) => signer.service(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(["bedrock", "openai-bedrock", "anthropic-bedrock"].map(service), ["bedrock", "bedrock", "bedrock-mantle"]);
}

#[test]
fn openais_models_reason_on_bedrock_too() {
    let mut config = config("openai-bedrock", keyed());
    config.aws.region = Some("us-east-1".into());
    let provider = open("openai-bedrock", &config).unwrap();
    for model in ["openai.gpt-oss-120b-1:0", "us.openai.gpt-5.5", "openai.gpt-6-sol"] {
        let reasoning = Some(crate::chat::Reasoning { effort: Some(crate::chat::Effort::Low), ..Default::default() });
        let mut request = ChatRequest { reasoning, ..hi(model) };
        request.sampling.max_tokens = Some(9);
        let body = provider.write(&request, false).unwrap().body();
        assert_eq!((&body["reasoning_effort"], &body["max_completion_tokens"]), (&Value::from("low"), &Value::from(9)), "{body}");
    }
}

#[test]
fn only_betas_of_the_model_go_along() {
    let endpoint = Endpoint { project: Some("p".into()), ..keyed() };
    let provider = open("anthropic-vertex", &config("anthropic-vertex", endpoint)).unwrap();
    let mut request = hi("claude-sonnet-4-6");
    request.betas = ["made-up", "context-1m-2025-08-07", "older"].map(str::to_owned).into();
    let written = provider.write(&request, false).unwrap();
    assert_eq!(written.request.headers["anthropic-beta"], "context-1m-2025-08-07");
    let told: Vec<String> = written.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["`headers.anthropic-beta`: `anthropic-vertex` does not take `made-up`, `older`; it was left out"]);
    request.betas = vec!["made-up".to_owned()];
    let written = provider.write(&request, false).unwrap();
    assert!(!written.request.headers.contains_key("anthropic-beta"));
    assert!(written.warnings[0].to_string().contains("does not take `made-up`"), "{:?}", written.warnings);
}

/// A picture at an address, asked of a provider like `like` at an address of the operator's that nobody serves.
async fn asked(like: &str, at: &str) -> Error {
    let nobody = Some("http://127.0.0.1:9/v1".to_owned());
    let mut config = config("ours", Endpoint { like: Some(like.into()), base_url: nobody, ..keyed() });
    config.generation.retries = 0;
    let client = Client::new(&config).where_names_lead_inside();
    let mut request = hi("gpt-4.1");
    let source = Source::Url { url: at.into(), media_type: None };
    request.messages[0].parts.push(Part::Image(Media::of(source)));
    let deadline = Instant::now() + std::time::Duration::from_secs(5);
    let provider = open("ours", &config).unwrap();
    let whole = provider.chat(&client, &request, deadline).await.unwrap_err();
    let streamed = provider.stream(&client, &request, deadline).await.err().unwrap();
    assert_eq!((whole.code(), whole.message()), (streamed.code(), streamed.message()));
    whole
}

#[tokio::test]
async fn a_name_that_leads_inside_is_handed_to_no_server_of_ones_own() {
    for like in ["openai", "anthropic", "mistral"] {
        let error = asked(like, "https://10-0-0-1.nip.example/cat.png").await;
        assert_eq!(error.code(), Code::InvalidRequest, "{like}");
        let expected = "an address in the request: `10-0-0-1.nip.example` does not resolve to public addresses; name another, or send \
                        what is there";
        assert_eq!(error.message(), expected);
    }
    // What needs no lookup is not looked up: the server is called, and is not there.
    assert_eq!(asked("openai", "https://8.8.8.8/cat.png").await.code(), Code::ProviderError);
}

#[test]
fn names_in_every_field_that_goes_along_are_looked_up() {
    let own = Endpoint { base_url: Some("http://127.0.0.1:9/v1".into()), ..keyed() };
    let provider = open("openai", &config("openai", own)).unwrap();
    let mut request = hi("gpt-4.1");
    request.extra.insert("web".into(), json!([{"url": "https://a.example/"}]));
    let raw = Raw { dialect: "openai".into(), value: json!({"file": {"url": "https://b.example/"}}) };
    request.messages[0].parts.push(Part::Raw(raw));
    let parameters = json!({"properties": {"x": {"$ref": "//c.example/x"}}});
    request.tools.push(Tool { name: "t".into(), parameters, ..Tool::default() });
    let mut hosts = provider.write(&request, false).unwrap().hosts;
    hosts.sort();
    assert_eq!(hosts, ["a.example", "b.example", "c.example"]);
}

#[test]
fn fields_that_no_vendor_fetches_may_name_any_address() {
    let mut request = hi("claude-sonnet-5");
    let inside = json!({"page": "http://localhost:3000/", "file": "file:report.pdf"});
    request.extra.insert("metadata".into(), inside.clone());
    let own = Raw { dialect: "anthropic".into(), value: json!({"input_examples": [inside]}) };
    request.tools.push(Tool { name: "t".into(), parameters: json!({}), own: Some(own), ..Tool::default() });
    open("anthropic", &config("anthropic", keyed())).unwrap().write(&request, false).unwrap();
    // A server of one's own may do anything with them.
    let own = Endpoint { base_url: Some("http://127.0.0.1:9/v1".into()), ..keyed() };
    open("anthropic", &config("anthropic", own)).unwrap().write(&request, false).unwrap_err();
    request.extra.insert("webhook".into(), json!("http://localhost:3000/"));
    open("anthropic", &config("anthropic", keyed())).unwrap().write(&request, false).unwrap_err();
}

#[test]
fn texts_of_blocks_are_no_addresses_for_a_vendor() {
    let mut request = hi("claude-sonnet-5");
    let hit = json!({"type": "search_result", "source": "kb://article/7", "content": [{"type": "text", "text": "http://localhost:8080"}]});
    request.messages[0].parts.push(Part::Raw(Raw { dialect: "anthropic".into(), value: hit }));
    let vendor = open("anthropic", &config("anthropic", keyed())).unwrap();
    vendor.write(&request, false).unwrap();
    let own = Endpoint { base_url: Some("http://127.0.0.1:9/v1".into()), ..keyed() };
    let error = open("anthropic", &config("anthropic", own)).unwrap().write(&request, false).unwrap_err();
    assert_eq!(error.message(), "`messages`: an address: `kb` is neither `https` nor `http`");
    let cited = json!({"type": "web_search_result_location", "url": "http://10.0.0.1/"});
    request.messages[0].parts.push(Part::Citation(Raw { dialect: "anthropic".into(), value: cited }));
    let error = vendor.write(&request, false).unwrap_err();
    assert_eq!(error.message(), "`messages`: an address: `10.0.0.1` is not a public address");
}

#[test]
fn documents_are_to_be_cited_by_those_who_can() {
    let mut config = config("bedrock", keyed());
    config.aws.region = Some("us-east-1".into());
    let provider = open("bedrock", &config).unwrap();
    for (model, takes) in [("us.anthropic.claude-sonnet-4-6", true), ("us.amazon.nova-pro-v1:0", false)] {
        let mut request = hi(model);
        let media = Media::of(Source::Text("Air scatters blue.".into()));
        request.messages[0].parts.push(Part::Document(Media { cited: true, context: Some("of 1871".into()), ..media }));
        let written = provider.write(&request, false).unwrap();
        let document = &written.body()["messages"][0]["content"][1]["document"];
        assert_eq!((document["citations"]["enabled"] == true, document["context"] == "of 1871"), (takes, takes), "{document}");
        let told: Vec<String> = written.warnings.iter().map(ToString::to_string).collect();
        let left_out = |it: &str| format!("`document.{it}`: `bedrock/{model}` does not take it; it was left out");
        assert_eq!(told, if takes { vec![] } else { vec![left_out("context"), left_out("citations")] });
    }
}

#[test]
fn files_in_stores_are_named_only_where_the_operator_lets_them_be() {
    let rules = |set: &str| Rules::new(Some(&format!("[[rule]]\nprovider = [\"vertexai\"]\nset = {{ {set} }}"))).map(Arc::new);
    let config = config("vertexai", Endpoint { project: Some("p".into()), ..keyed() });
    let mut request = hi("gemini-3-flash");
    let source = Source::Url { url: "gs://bucket/cat.png".into(), media_type: Some("image/png".into()) };
    request.messages[0].parts.push(Part::Image(Media::of(source)));
    let closed = open("vertexai", &config).unwrap().write(&request, false).unwrap_err();
    assert_eq!(closed.message(), "`messages`: the address of an image: `gs` is neither `https` nor `http`");
    let opened = Provider::open("vertexai", &config, &rules("stores = [\"gs\"]").unwrap()).unwrap();
    let body = opened.write(&request, false).unwrap().body();
    assert_eq!(body["contents"][0]["parts"][1]["fileData"]["fileUri"], "gs://bucket/cat.png");
    let never = rules("stores = [\"file\"]").unwrap_err();
    assert!(never.message().starts_with("capabilities: unknown variant `file`, expected `gs` or `s3`"), "{never}");
}

#[test]
fn names_of_parameters_that_are_refused_come_back_as_they_were() {
    let provider = open("gemini", &config("gemini", keyed())).unwrap();
    let look = |name: &str| {
        json!({"type": "object", "properties": {name: {"type": "array", "items": {
        "type": "object", "properties": {"max-age": {"type": "integer"}, "plain": {"type": "string"}}, "required": ["max-age"]}}}, "required": [name]})
    };
    let mut request = hi("gemini-2.5-flash");
    request.tools.push(Tool { name: "look".into(), parameters: look("$filter"), ..Tool::default() });
    let said = r#"{"$filter":[{"max-age":3,"plain":"max-age"}]}"#;
    let call = ToolCall { id: "a".into(), name: "look".into(), arguments: said.into(), ..ToolCall::default() };
    request.messages.push(Message { role: Role::Assistant, parts: vec![Part::ToolCall(call)] });
    let written = provider.write(&request, false).unwrap();
    let schema = &written.body()["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"];
    let filter = schema["required"][0].as_str().unwrap();
    let inner = &schema["properties"][filter]["items"];
    let age = inner["required"][0].as_str().unwrap();
    assert!(filter.starts_with("_filter_") && age.starts_with("max_age_") && inner["properties"][age].is_object(), "{schema}");
    let args = json!({filter: [{age: 3, "plain": "max-age"}]});
    assert_eq!(written.body()["contents"][1]["parts"][0]["functionCall"]["args"], args);
    assert_eq!(written.warnings.len(), 2, "{:?}", written.warnings);
    let reply = json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "look", "args": args}}]}, "finishReason": "STOP"}]});
    let mut answer = Dialect::Gemini.decode(reply.to_string().as_bytes()).unwrap();
    let mut events = crate::chat::unfold(answer.clone());
    written.back.restore_all(&mut answer);
    events.iter_mut().for_each(|event| written.back.restore(event));
    assert_eq!(answer.tool_calls().next().unwrap().arguments, said);
    assert_eq!(crate::chat::fold(&events), answer);
}

#[test]
fn calls_without_ids_of_their_own_are_told_apart_in_a_conversation() {
    let provider = open("gemini", &config("gemini", keyed())).unwrap();
    let mut request = hi("gemini-2.5-flash");
    for name in ["first", "second", "third"] {
        let written = provider.write(&request, false).unwrap();
        // An answer without a name, so that what is made up of it is the same each time.
        let reply = json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": name, "args": {}}}]}, "finishReason": "STOP"}]});
        let mut answer = Dialect::Gemini.decode(reply.to_string().as_bytes()).unwrap();
        written.back.restore_all(&mut answer);
        let call_id = answer.tool_calls().next().unwrap().id.clone();
        let result = Part::ToolResult(ToolResult { call_id, content: vec![Part::Text("x".into())], ..ToolResult::default() });
        request.messages.push(Message { role: Role::Assistant, parts: answer.parts });
        request.messages.push(Message { role: Role::Tool, parts: vec![result] });
    }
    let body = provider.write(&request, false).unwrap().body();
    let named = [2, 4, 6].map(|at| body["contents"][at]["parts"][0]["functionResponse"].clone());
    let expected = ["first", "second", "third"].map(|name| json!({"name": name, "response": {"output": "x"}}));
    assert_eq!(named, expected);
}

#[test]
fn a_path_that_a_server_of_the_operators_does_not_know_names_his_setting() {
    let refused = |name: &str, address: Option<&str>, body: &'static str| {
        let endpoint =
            Endpoint { base_url: address.map(str::to_owned), like: (name == "ours").then(|| "custom".into()), ..keyed() };
        let headers = [("x-request-id", "r-1")].map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let reply = Reply { status: 404, headers: headers.into_iter().collect(), body: body.into() };
        let error = open(name, &config(name, endpoint)).unwrap().refusal(&reply);
        assert_eq!((error.code(), error.refusal().request_id.as_deref()), (Code::InvalidModel, Some("r-1")));
        error.message().to_owned()
    };
    let inside = Some("http://llm.corp:11434");
    assert_eq!(
        refused("custom", inside, "404 page not found"),
        "the provider refused (status 404): no such path or model; does `CUSTOM_BASE_URL` end as it must, often `/v1`?"
    );
    assert_eq!(
        refused("ours", inside, r#"{"detail": "Not Found"}"#),
        "the provider refused (status 404): Not Found: no such path or model; does `providers.ours.base_url` end as it must, often `/v1`?"
    );
    let named = r#"{"error": {"message": "no model `m`", "code": "model_not_found"}}"#;
    assert_eq!(refused("custom", inside, named), "the provider refused (status 404): no model `m`");
    let routed = r#"{"error": {"message": "No endpoints found that support tool use.", "code": 404}}"#;
    assert_eq!(refused("custom", inside, routed), "the provider refused (status 404): No endpoints found that support tool use.");
    assert_eq!(refused("openai", None, "{}"), "the provider refused (status 404): no reason given");
}

#[test]
fn nothing_is_kept_of_a_name_that_no_model_has() {
    let provider = open("gemini", &config("gemini", keyed())).unwrap();
    for name in ["", "..", "models/", &"x".repeat(2049)] {
        assert_eq!(provider.capabilities(name).unwrap_err().code(), Code::InvalidModel);
        assert_eq!(provider.write(&hi(name), false).unwrap_err().code(), Code::InvalidModel);
    }
    assert!(provider.capabilities(&"x".repeat(2048)).is_ok());
}

#[test]
fn what_a_dialect_has_no_place_for_about_a_file_is_said() {
    let source = |media_type: &str| Source::Base64 { media_type: media_type.into(), data: "AAAA".into() };
    let file = |source: Source, name: Option<&str>, detail: Option<&str>| Media {
        source,
        name: name.map(str::to_owned),
        detail: detail.map(str::to_owned),
        context: None,
        cited: false,
    };
    let warnings = |name: &str, model: &str, part: Part| {
        let endpoint = Endpoint { region: Some("eu-west-1".into()), ..keyed() };
        let messages = vec![Message { role: Role::User, parts: vec![Part::Text("hi".into()), part] }];
        let request = ChatRequest { model: model.into(), messages, ..ChatRequest::default() };
        let written = open(name, &config(name, endpoint)).unwrap().write(&request, false).unwrap();
        written.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let models =
        [("anthropic", "claude-sonnet-4-6"), ("gemini", "gemini-3-flash"), ("bedrock", "us.anthropic.claude-sonnet-4-6")];
    for (name, model) in models {
        let image = |detail| Part::Image(file(source("image/png"), None, Some(detail)));
        let expected = format!("`image.detail`: the dialect of `{name}` has no place for it; it was left out");
        assert_eq!(warnings(name, model, image("low")), expected);
        assert_eq!(warnings(name, model, image("auto")), "");
    }
    let pdf = |name| Part::Document(file(source("application/pdf"), Some(name), None));
    let expected = "`document.name`: the dialect of `gemini` has no place for it; it was left out";
    assert_eq!(warnings("gemini", "gemini-3-flash", pdf("a.pdf")), expected);
    let (name, model) = models[2];
    let expected = "`document.name`: Converse is told `contract v2 (final) pdf` for `contract_v2 (final).pdf`; it was renamed";
    assert_eq!(warnings(name, model, pdf("contract_v2 (final).pdf")), expected);
    assert_eq!(warnings(name, model, pdf("contract (final)")), "");
}

#[test]
fn documents_of_one_name_have_ids_of_their_own() {
    let document = |name: &str| {
        Part::Document(Media {
            source: Source::Text("x".into()),
            name: Some(name.into()),
            detail: None,
            context: None,
            cited: false,
        })
    };
    let parts = ["a", "a", "a 3", "a"].map(document).into_iter().chain([Part::Text("hi".into())]).collect();
    let request =
        ChatRequest { model: "m".into(), messages: vec![Message { role: Role::User, parts }], ..ChatRequest::default() };
    let body = written("cohere", &request).body();
    let ids: Vec<&str> = body["documents"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "a 2", "a 3", "a 4"]);
    assert_eq!(body["documents"][1]["data"]["title"], "a");
    // Bedrock refuses a request with two of one name.
    let parts =
        ["report 2", "report", "report", "報告", "レポート"].map(document).into_iter().chain([Part::Text("hi".into())]).collect();
    let request =
        ChatRequest { model: "m".into(), messages: vec![Message { role: Role::User, parts }], ..ChatRequest::default() };
    let body = written("bedrock", &request).body();
    let blocks = body["messages"][0]["content"].as_array().unwrap();
    let names: Vec<&str> = blocks.iter().filter_map(|it| it["document"]["name"].as_str()).collect();
    assert_eq!(names, ["report 2", "report", "report 3", "4", "5"]);
}
