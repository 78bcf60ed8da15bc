//! Answers of a shape, and citations that are checked.

use serde_json::{Value, json};

use super::support::{Mock, Service};

fn ask(model: &str, more: &Value) -> Value {
    let mut body = json!({"prompt": "How large may a request be?", "model_provider": "custom", "model_name": model,
        "structured_output": {"format": {"name": "string", "tags": ["string?"]}}});
    body["structured_output"] = json!({"format": {"name": "string"}, "schema": {}});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn schema() -> Value {
    json!({"structured_output": {"schema": {"type": "object", "properties": {"name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["name"]}, "include_raw": true}})
}

#[tokio::test]
async fn a_shaped_answer_is_valid_and_says_how_it_came_about() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let (status, answer) = service.query(ask("shaped", &schema())).await;
    assert_eq!(status, 200, "{answer}");
    let output = &answer["structured_output"];
    assert_eq!(output["data"], json!({"name": "Ada", "tags": ["x"]}));
    assert_eq!((&output["method"], &output["attempts"], &output["losses"]), (&json!("json_schema"), &json!(1), &json!([])));
    assert_eq!(output["raw"], json!(r#"{"name": "Ada", "tags": ["x"]}"#));
    assert_eq!(answer["response"]["content"], output["raw"]);
    // The schema stood in the prompt: this server may ignore its parameter.
    assert!(mock.body()["messages"][0]["content"].as_str().unwrap().contains(r#"{"type":"object","properties":{"name""#));
}

#[tokio::test]
async fn an_invalid_answer_is_mended_once_and_both_exchanges_count() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let (status, answer) = service.query(ask("mends", &schema())).await;
    assert_eq!((status, mock.calls()), (200, 2), "{answer}");
    assert_eq!(answer["structured_output"]["attempts"], 2);
    assert_eq!(answer["metadata"]["usage"]["prompt_tokens"], 20);
    assert_eq!(answer["metadata"]["usage"]["cost_usd"], Value::Null, "nobody knows what a server of one's own costs");
    assert_eq!(answer["metadata"]["attempts"][1]["purpose"], "repair");
    let told = mock.body()["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    assert!(told.contains("- /name: 3 is not of type \"string\""), "{told}");
}

#[tokio::test]
async fn an_answer_that_stays_invalid_is_an_error_with_everything_in_it() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let (status, answer) = service.query(ask("never", &schema())).await;
    assert_eq!((status, mock.calls()), (502, 2), "{answer}");
    assert_eq!(answer["error"]["code"], "MODEL_OUTPUT_INVALID");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("`structured_output`: no valid answer in 2 attempts: /name: 3 is not of type"), "{message}");
    let details = &answer["error"]["details"];
    assert_eq!((&details["raw"], &details["errors"][0]["pointer"]), (&json!(r#"{"name": 3}"#), &json!("/name")));
    assert_eq!((details["attempts"].as_array().unwrap().len(), &details["provider"]), (2, &json!("custom")));
    let (_, answer) =
        service.query(ask("never", &json!({"structured_output": {"format": {"name": "string"}, "max_repairs": 0}}))).await;
    assert_eq!(answer["error"]["details"]["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_that_was_cut_is_not_mended() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let (status, answer) = service.query(ask("cuts", &schema())).await;
    assert_eq!((status, mock.calls()), (502, 1), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("raise `max_tokens`"));
    let details = &answer["error"]["details"];
    assert_eq!((&details["raw"], &details["usage"]["prompt_tokens"]), (&json!(r#"{"name": "Ad"#), &json!(10)));
    assert_eq!((details["attempts"].as_array().unwrap().len(), &details["cost_usd"]), (1, &Value::Null));
}

#[tokio::test]
async fn a_call_that_was_cut_is_told_raw() {
    let mock = Mock::start().await;
    let (service, _folder) = loose(&mock);
    let (status, answer) = service.query(ask("cuts-call", &schema())).await;
    assert_eq!((status, &answer["error"]["details"]["raw"]), (502, &json!(r#"{"name": "Ad"#)), "{answer}");
}

#[tokio::test]
async fn an_answer_that_a_stop_sequence_cut_is_not_mended() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let (status, answer) = service.query(ask("stops", &schema())).await;
    assert_eq!((status, &answer["structured_output"]["data"]["name"]), (200, &json!("Ad")), "{answer}");
    let before = mock.calls();
    let mut body = ask("stops", &schema());
    body["model_config"] = json!({"stop_sequences": ["a"]});
    let (status, answer) = service.query(body).await;
    assert_eq!((status, mock.calls() - before, &answer["error"]["code"]), (502, 1, &json!("MODEL_OUTPUT_INVALID")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().ends_with("leave out the stop sequences"), "{answer}");
    assert_eq!(answer["error"]["details"]["raw"], r#"{"name": "Ad"#);
}

#[tokio::test]
async fn a_repair_that_fails_loses_nothing_of_what_was_paid() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let (status, answer) = service.query(ask("mends-once", &schema())).await;
    assert_eq!((status, &answer["error"]["code"], mock.calls()), (429, &json!("RATE_LIMIT"), 2), "{answer}");
    let details = &answer["error"]["details"];
    assert_eq!((&details["raw"], &details["errors"][0]["pointer"]), (&json!(r#"{"name": 3}"#), &json!("/name")));
    assert_eq!((&details["usage"]["prompt_tokens"], &details["attempts"][1]["code"]), (&json!(10), &json!("RATE_LIMIT")));
}

#[tokio::test]
async fn what_was_streamed_as_it_came_is_not_mended_behind_it() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| {
        let like = Some("openai".into());
        config.providers.insert("held".into(), omni_llm::config::Endpoint { like, ..mock.endpoint() });
    });
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false});
    for part in ["mends", "fences"] {
        let before = mock.calls();
        let body = json!({"model": format!("held/{part}"), "messages": [{"role": "user", "content": "Who?"}], "stream": true,
            "response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}});
        let events = service.events_of("/v1/chat/completions", &body).await;
        let told: String = events.iter().filter_map(|(_, data)| data["choices"][0]["delta"]["content"].as_str()).collect();
        assert!(told.starts_with(if part == "mends" { r#"{"name": 3}"# } else { "```json" }), "it is told live: {events:?}");
        let error = &events.last().unwrap().1["error"];
        assert_eq!((mock.calls() - before, &error["code"]), (1, &json!("MODEL_OUTPUT_INVALID")), "{events:?}");
    }
}

/// A provider that can be held to no schema and has no JSON mode.
fn loose(mock: &Mock) -> (Service, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("capabilities.toml");
    std::fs::write(&rules, "[[rule]]\nprovider = [\"custom\"]\nset = { schema = \"none\", json_object = false }").unwrap();
    (Service::with(mock, |config| config.capabilities = Some(rules)), folder)
}

#[tokio::test]
async fn json_is_read_and_mended_where_the_model_has_no_mode_for_it() {
    let mock = Mock::start().await;
    let (service, _folder) = loose(&mock);
    let query =
        |more: Value| ask("fences", &json!({"structured_output": null, "model_config": more["c"], "output_config": more["o"]}));
    for more in [json!({"c": {"response_format": "json"}}), json!({"o": {"format": "json"}})] {
        let (status, answer) = service.query(query(more.clone())).await;
        assert_eq!((status, &answer["response"]["content"]), (200, &json!(r#"{"name":"Ada"}"#)), "{answer}");
        assert_eq!(answer["structured_output"]["rung"], "prompt");
        let mut body = query(more);
        body["model_config"]["stream"] = json!(true);
        let events = service.events(body).await;
        let told: String = events.iter().filter_map(|(_, data)| data["content"].as_str()).collect();
        assert!(told.starts_with("```json"), "a stream comes as the model writes it: {events:?}");
    }
    let mut body = json!({"model": "custom/fences", "messages": [{"role": "user", "content": "Who?"}], "response_format": {"type": "json_object"}});
    let (_, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"name":"Ada"}"#, "{answer}");
    let spoken = json!({"model": "custom/m", "messages": body["messages"], "response_format": body["response_format"]});
    let (status, answer) = service.post("/v1/chat/completions", &spoken).await;
    let told = answer["error"]["message"].as_str().unwrap();
    assert!(status == 502 && told.contains("say in the prompt that the answer is to be JSON"), "no schema to simplify: {answer}");
    // Where there is a mode, the provider is taken at its word.
    let service = Service::with(&mock, |_| {});
    body["stream"] = json!(true);
    let events = service.events_of("/v1/chat/completions", &body).await;
    let told: String = events.iter().filter_map(|(_, data)| data["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(told.starts_with("```json"), "{events:?}");
}

#[tokio::test]
async fn clients_of_the_doors_read_from_the_reason_that_a_shape_was_cut() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut body = json!({"model": "custom/cuts", "messages": [{"role": "user", "content": "Who?"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": {"type": "object"}}}});
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    let choice = &answer["choices"][0];
    assert_eq!((status, &choice["finish_reason"]), (200, &json!("length")), "{answer}");
    assert_eq!((&choice["message"]["content"], &answer["usage"]["prompt_tokens"]), (&json!(r#"{"name": "Ad"#), &json!(10)));
    body["stream"] = json!(true);
    let events = service.events_of("/v1/chat/completions", &body).await;
    let of = |field: &str| -> Vec<&Value> { events.iter().map(|(_, data)| &data["choices"][0][field]).collect() };
    assert!(of("finish_reason").contains(&&json!("length")), "{events:?}");
    let told: String = of("delta").into_iter().filter_map(|delta| delta["content"].as_str()).collect();
    assert_eq!(told, r#"{"name": "Ad"#);
    // Where citations count, half a shape is not told.
    body["stream"] = json!(false);
    body["rag"] = json!({"citations": "drop"});
    let (_, answer) = service.post("/v1/chat/completions", &body).await;
    let choice = &answer["choices"][0];
    assert_eq!((&choice["finish_reason"], choice["message"]["content"].as_str().unwrap_or_default()), (&json!("length"), ""));
}

#[tokio::test]
async fn a_streamed_shape_is_previewed_and_validated_once() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let events = service.events(ask("shaped", &schema())).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "message").collect();
    assert_eq!(names, ["partial", "partial", "validated", "done"]);
    let patches: Vec<&Value> =
        events.iter().filter(|(name, _)| name == "partial").flat_map(|(_, data)| data["patch"].as_array().unwrap()).collect();
    assert_eq!(patches[0], &json!({"op": "add", "path": "", "value": {}}));
    assert!(patches.contains(&&json!({"op": "append", "path": "/name", "value": "Ada"})), "{patches:?}");
    assert_eq!(events[events.len() - 2].1["data"], json!({"name": "Ada", "tags": ["x"]}));
    let events = service.events(ask("mends", &schema())).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "message").collect();
    assert_eq!(names[names.len() - 4..], ["reset", "partial", "validated", "done"], "{names:?}");
    let events = service.events(ask("never", &schema())).await;
    assert_eq!(events.last().unwrap().0, "error");
}

#[tokio::test]
async fn what_contradicts_a_shape_is_refused() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let refusal = |more: Value| service.refusal(ask("shaped", &more));
    assert!(
        refusal(json!({"output_config": {"max_response_length": 5}}))
            .await
            .starts_with("`output_config.max_response_length`: cutting would break")
    );
    for (field, mut more) in [
        ("output_config.format", json!({"output_config": {"format": "json", "max_response_length": 5}})),
        (
            "model_config.response_format",
            json!({"model_config": {"response_format": "json"}, "output_config": {"max_response_length": 5}}),
        ),
    ] {
        more["structured_output"] = Value::Null;
        let expected = format!("`output_config.max_response_length`: cutting would break the JSON of `{field}`; leave it out");
        assert_eq!(refusal(more).await, expected);
    }
    assert!(
        refusal(json!({"structured_output": {"format": {"a": "strng"}}}))
            .await
            .starts_with("`structured_output.format` at `/a`: `strng`: unknown")
    );
    assert!(
        refusal(json!({"structured_output": {"schema": {"$ref": "http://10.0.0.1/s"}}})).await.contains("nothing is fetched")
    );
    assert!(
        refusal(json!({"structured_output": {"enabled": false}, "model_config": {"response_format": "structured"}}))
            .await
            .contains("does not say which shape")
    );
    let unknown = refusal(json!({"structured_output": {"shema": {}}})).await;
    assert!(unknown.starts_with("`structured_output.shema`: unknown field; expected one of `enabled`"), "{unknown}");
    let quotes = Service::new(|_| {});
    let message = quotes.refusal(json!({"prompt": "How large?", "structured_output": {"format": {"a": "string"}}})).await;
    assert_eq!(
        message,
        "`structured_output`: no provider is asked, and quotes have a shape of their own; name a `model_provider`"
    );
}

#[tokio::test]
async fn citations_are_checked_and_the_policy_decides() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let ask = |policy: &str| json!({"prompt": "How large may a request body be?", "model_name": "cites", "rag_config": {"citations": policy}});
    let (_, answer) = service.query(ask("annotate")).await;
    let citations = answer["citations"].as_array().unwrap();
    assert_eq!(citations.len(), 2, "{answer}");
    assert_eq!(
        (&citations[0]["verified"], &citations[0]["status"], &citations[0]["score"]),
        (&json!(true), &json!("verified"), &json!(1.0))
    );
    assert_eq!(citations[0]["text"], "The largest request body is 6 MiB by default");
    assert_eq!(
        (&citations[0]["document"], &citations[0]["start"], &citations[0]["end"]),
        (&json!("limits.md"), &json!(29), &json!(73))
    );
    assert_eq!((&citations[1]["verified"], &citations[1]["status"]), (&json!(false), &json!("not_found")));

    let (_, answer) = service.query(ask("drop")).await;
    assert_eq!(answer["response"]["content"], "“The largest request body is 6 MiB by default” [1].");
    assert_eq!(answer["citations"].as_array().unwrap().len(), 1);
    assert!(answer["metadata"]["warnings"].to_string().contains("1 did not hold and were dropped"), "{answer}");

    let before = mock.calls();
    let (_, answer) = service.query(ask("repair")).await;
    assert_eq!((mock.calls() - before, &answer["citations"][0]["verified"]), (2, &json!(true)));
    assert_eq!(answer["metadata"]["attempts"][1]["purpose"], "citation repair");

    let (_, answer) = service.query(ask("abstain")).await;
    assert_eq!(answer["response"]["content"], "The sources do not support an answer to this question.");

    let mut off = ask("drop");
    off["rag_config"]["enabled"] = json!(false);
    assert!(service.refusal(off).await.starts_with("`rag_config.citations`: nothing is looked up"));

    // What may be cut out is not told before it was checked.
    let events = service.events(ask("drop")).await;
    let told: String =
        events.iter().filter(|(name, _)| name == "delta").map(|(_, data)| data["content"].as_str().unwrap()).collect();
    assert_eq!(told, "“The largest request body is 6 MiB by default” [1].");
    let events = service.events(ask("annotate")).await;
    assert_eq!(events.last().unwrap().1["citations"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_repair_that_fails_leaves_the_first_answer_without_what_does_not_hold() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.generation.retries = 0);
    let body =
        json!({"prompt": "How large may a request body be?", "model_name": "cites-once", "rag_config": {"citations": "repair"}});
    let (status, answer) = service.query(body).await;
    assert_eq!((status, mock.calls()), (200, 2), "{answer}");
    assert_eq!(answer["response"]["content"], "“The largest request body is 6 MiB by default” [1].");
    let told = json!("`rag_config.citations`: the repair failed (RATE_LIMIT); the first answer is used");
    assert!(answer["metadata"]["warnings"].as_array().unwrap().contains(&told), "{answer}");
    assert_eq!(answer["metadata"]["usage"]["prompt_tokens"], 10, "what was paid for is said");
}

#[tokio::test]
async fn a_repair_without_words_leaves_the_first_answer_and_one_too_long_is_cut_before_it_is_checked() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let body = |model: &str| json!({"prompt": "How large may a request body be?", "model_name": model, "rag_config": {"citations": "repair"}});
    let (_, answer) = service.query(body("cites-blank")).await;
    let good = "“The largest request body is 6 MiB by default” [1].";
    assert_eq!(answer["response"]["content"], good, "{answer}");
    let mut long = body("cites-more");
    long["output_config"] = json!({"max_response_length": good.chars().count()});
    let (_, answer) = service.query(long).await;
    assert_eq!((&answer["response"]["content"], answer["citations"].as_array().unwrap().len()), (&json!(good), 1), "{answer}");
}

#[tokio::test]
async fn the_repair_of_a_shaped_answers_citations_is_told_as_one() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let properties = json!({"quote": {"type": "string"}, "source": {"type": "integer"}});
    let schema = json!({"type": "object", "properties": properties, "required": ["quote", "source"]});
    let more = json!({"prompt": "How large may a request body be?", "structured_output": {"schema": schema}, "rag_config": {"citations": "repair"}});
    let (_, answer) = service.query(ask("cites-shaped", &more)).await;
    assert_eq!(answer["citations"][0]["verified"], true, "{answer}");
    let attempts = answer["metadata"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.iter().map(|it| &it["purpose"]).collect::<Vec<_>>(), ["answer", "citation repair"]);
}

#[tokio::test]
async fn an_answer_of_which_nothing_is_left_is_withheld() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let withheld = "The sources do not support an answer to this question.";
    let asked = "How large may a request body be?";
    for (model, policy) in [("lists", "drop"), ("blank", "abstain"), ("invents", "drop")] {
        let body = json!({"prompt": asked, "model_name": model, "rag_config": {"citations": policy}});
        let (_, answer) = service.query(body.clone()).await;
        assert_eq!(answer["response"]["content"], withheld, "{answer}");
        let events = service.events(body).await;
        assert_eq!(events.last().unwrap().1["response"]["content"], withheld);
        let body = json!({"model": format!("rag/custom/{model}"), "messages": [{"role": "user", "content": asked}], "rag": {"citations": policy}});
        let (_, answer) = service.post("/v1/chat/completions", &body).await;
        assert_eq!(answer["choices"][0]["message"]["content"], withheld, "{answer}");
        assert!(answer["omni"]["warnings"].to_string().contains("it is withheld"), "{answer}");
    }
}

#[tokio::test]
async fn what_the_model_was_given_may_be_quoted() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let tool = json!({"type": "function", "function": {"name": "status", "parameters": {"type": "object", "properties": {}}}});
    let call = json!({"id": "c", "type": "function", "function": {"name": "status", "arguments": "{}"}});
    let said = "All systems operate normally since Tuesday";
    let asked = json!({"role": "user", "content": "How large may a request body be, and what does the tool say?"});
    let user = |text: &str| json!({"role": "user", "content": text});
    for (messages, is_given) in [
        (
            json!([asked, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": said}]),
            true,
        ),
        (json!([user(said), {"role": "assistant", "content": "So?"}, asked]), true),
        (json!([user("Hi"), {"role": "assistant", "content": said}, asked]), true),
        (json!([{"role": "system", "content": said}, asked]), true),
        (json!([asked]), false),
    ] {
        let body = json!({"model": "rag/custom/cites-said", "messages": messages, "tools": [tool], "rag": {"citations": "drop"}});
        let (status, answer) = service.post("/v1/chat/completions", &body).await;
        let content = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
        assert_eq!((status, content.contains("The tool says")), (200, is_given), "{answer}");
        let told = mock.body()["messages"].to_string();
        assert!(told.contains("only where they stand in a source, word for word"), "{told}");
    }
}

#[tokio::test]
async fn quotes_are_citations_that_hold() {
    let service = Service::new(|_| {});
    for format in ["text", "markdown", "json"] {
        let (_, answer) =
            service.query(json!({"prompt": "How large may a request body be?", "output_config": {"format": format}})).await;
        let citations = answer["citations"].as_array().unwrap_or_else(|| panic!("{format}: {answer}"));
        assert!(citations.iter().all(|citation| citation["verified"] == true), "{format}: {answer}");
    }
}
