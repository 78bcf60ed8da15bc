//! What single models and dialects refuse, and what is sent in its place.

use omni_llm::chat::{ChatRequest, Effort, Media, Message, Part, Reasoning, Role, Source, Tool, ToolCall, ToolResult};
use serde_json::{Value, json};

use super::support::provider;

fn hi(model: &str) -> ChatRequest {
    ChatRequest { model: model.into(), messages: vec![Message::text(Role::User, "hi")], ..ChatRequest::default() }
}

fn effort(effort: Effort) -> Option<Reasoning> {
    Some(Reasoning { effort: Some(effort), ..Reasoning::default() })
}

fn look(parameters: Value) -> Tool {
    Tool { name: "look".into(), parameters, ..Tool::default() }
}

/// The body, and what is told about it.
fn sent(name: &str, request: &ChatRequest) -> (Value, Vec<String>) {
    let written = provider(name, None).write(request, false).unwrap();
    (written.body(), written.warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn openais_models_that_take_no_tools_while_they_reason_do_not_reason() {
    for (model, wish, told, is_said) in [
        ("gpt-5.6-sol", None, json!("none"), true),
        ("gpt-6-sol", effort(Effort::High), json!("none"), true),
        ("gpt-5.5", effort(Effort::None), json!("none"), false),
        ("gpt-5.4", effort(Effort::Low), json!("none"), true),
        ("gpt-5.4", None, Value::Null, false),
        ("gpt-5.2", effort(Effort::Low), json!("low"), false),
        ("gpt-5.5-pro", effort(Effort::High), json!("high"), false),
    ] {
        let mut request = ChatRequest { reasoning: wish, tools: vec![look(json!({"type": "object"}))], ..hi(model) };
        let (body, warnings) = sent("openai", &request);
        assert_eq!(body["reasoning_effort"], told, "{model}");
        let expected = format!("`reasoning`: `openai/{model}` takes no tools while it reasons; it was left out");
        assert_eq!(warnings, if is_said { vec![expected] } else { vec![] });
        request.tools.clear();
        let asked = wish.and_then(|wish| wish.effort).map_or(Value::Null, |effort| effort.as_str().into());
        assert_eq!(sent("openai", &request).0["reasoning_effort"], asked, "{model} without tools");
    }
}

#[test]
fn a_wish_to_reason_never_becomes_none() {
    for wish in [Effort::Low, Effort::High] {
        let (body, warnings) = sent("groq", &ChatRequest { reasoning: effort(wish), ..hi("qwen/qwen3.8-27b") });
        assert_eq!(body["reasoning_effort"], Value::Null);
        let expected = "`reasoning.effort`: `groq/qwen/qwen3.8-27b` cannot be told how hard to reason; it was left out";
        assert_eq!(warnings, [expected]);
    }
    let (body, warnings) = sent("groq", &ChatRequest { reasoning: effort(Effort::None), ..hi("qwen/qwen3.8-27b") });
    assert_eq!((&body["reasoning_effort"], warnings.len()), (&json!("none"), 0));
}

#[test]
fn thinking_that_cannot_be_switched_off_is_made_as_short_as_it_can_be() {
    for (model, budget, is_said) in
        [("gemini-2.5-pro", 128, true), ("gemini-2.5-flash", 0, false), ("gemini-2.5-flash-lite", 0, false)]
    {
        let (body, warnings) = sent("gemini", &ChatRequest { reasoning: effort(Effort::None), ..hi(model) });
        assert_eq!(body["generationConfig"]["thinkingConfig"], json!({"thinkingBudget": budget}), "{model}");
        let expected = format!("`reasoning.effort`: `gemini/{model}` always reasons: 128 tokens; it was changed");
        assert_eq!(warnings, if is_said { vec![expected] } else { vec![] });
    }
}

#[test]
fn stop_sequences_are_left_out_where_they_are_refused() {
    for (model, taken) in
        [("o3", false), ("gpt-5-mini", false), ("gpt-5.2", false), ("gpt-5.5", true), ("gpt-5-chat-latest", true)]
    {
        let mut request = hi(model);
        request.sampling.stop_sequences = vec!["###".into()];
        let (body, warnings) = sent("openai", &request);
        assert_eq!(body["stop"], if taken { json!(["###"]) } else { Value::Null }, "{model}");
        let expected = format!("`stop_sequences`: `openai/{model}` does not take it; it was left out");
        assert_eq!(warnings, if taken { vec![] } else { vec![expected] });
    }
}

#[test]
fn texts_of_white_space_alone_are_left_out_where_they_are_refused() {
    let call = ToolCall { id: "a".into(), name: "look".into(), arguments: "{}".into(), ..ToolCall::default() };
    let result = ToolResult { call_id: "a".into(), content: vec![Part::Text(" ".into())], ..ToolResult::default() };
    let mut request = ChatRequest { tools: vec![look(json!({"type": "object"}))], ..hi("") };
    request.messages.insert(0, Message::text(Role::System, "\n"));
    request.messages.push(Message { role: Role::Assistant, parts: vec![Part::Text("\n\n".into()), Part::ToolCall(call)] });
    request.messages.push(Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] });
    let claude = ChatRequest { model: "claude-sonnet-5".into(), ..request.clone() };
    let (body, warnings) = sent("anthropic", &claude);
    let used = json!({"type": "tool_use", "id": "a", "name": "look", "input": {}});
    let answered = json!({"type": "tool_result", "tool_use_id": "a"});
    assert_eq!((&body["system"], &body["messages"][1]["content"]), (&Value::Null, &json!([used])));
    assert_eq!(body["messages"][2]["content"], json!([answered]));
    assert_eq!(warnings, ["`text`: `anthropic/claude-sonnet-5` takes none of white space alone; it was left out"]);
    let nova = ChatRequest { model: "us.amazon.nova-pro-v1:0".into(), ..request.clone() };
    let (body, _) = sent("bedrock", &nova);
    let content = &body["messages"][2]["content"][0]["toolResult"]["content"];
    assert_eq!((content, &body["system"]), (&json!([{"text": "(no output)"}]), &Value::Null));
    let gpt = ChatRequest { model: "gpt-4.1".into(), ..request };
    assert_eq!(sent("openai", &gpt).0["messages"][2]["content"], "\n\n", "who takes them gets them");
}

#[test]
fn converse_begins_with_the_user_and_has_words_beside_a_document() {
    let model = "us.anthropic.claude-sonnet-4-6";
    let mut request = hi(model);
    request.messages.insert(0, Message::text(Role::Assistant, "Hello!"));
    let (body, warnings) = sent("bedrock", &request);
    let beginning = "(The conversation begins with the assistant.)";
    assert_eq!(body["messages"][0], json!({"role": "user", "content": [{"text": beginning}]}));
    assert_eq!((&body["messages"][1]["role"], &body["messages"][2]["role"]), (&json!("assistant"), &json!("user")));
    assert_eq!(warnings, [format!("`messages`: Converse begins with the user: `{beginning}`; it was changed")]);
    let mut request = hi(model);
    request.messages[0].parts = vec![Part::Document(Media::of(Source::Text("Air scatters blue.".into())))];
    let (body, warnings) = sent("bedrock", &request);
    assert_eq!(body["messages"][0]["content"][1], json!({"text": "(See the document.)"}));
    assert_eq!(warnings, ["`messages`: Converse wants words beside a document: `(See the document.)`; it was changed"]);
}

#[test]
fn a_tools_schema_says_that_it_is_an_object() {
    let bare = json!({"properties": {"at": {"type": "string"}}});
    let typed = json!({"properties": {"at": {"type": "string"}}, "type": "object"});
    let request = ChatRequest { tools: vec![look(bare)], ..hi("claude-sonnet-5") };
    assert_eq!(sent("anthropic", &request).0["tools"][0]["input_schema"], typed);
    let request = ChatRequest { model: "us.amazon.nova-pro-v1:0".into(), ..request };
    assert_eq!(sent("bedrock", &request).0["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"], typed);
}
