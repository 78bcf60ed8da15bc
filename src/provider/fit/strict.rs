//! What the strict tools of one request may say, and how much they may hold: the rest is refused by the provider, and told here
//! before.

use std::collections::HashSet;
use std::ops::Add;

use serde_json::Value;

use super::Fit;
use crate::chat::{ChatRequest, ResponseFormat, Tool, Warning};
use crate::provider::capability::{SchemaMode, StrictLimits};

impl Fit<'_> {
    /// Holds the model to as many tools as fit, in their order; the others are tools all the same.
    pub(super) fn strict(&mut self, request: &mut ChatRequest) {
        let (caps, who) = (self.caps, self.who);
        if !caps.strict_tools {
            return;
        }
        self.strict_words(request);
        if caps.strict_limits == StrictLimits::default() {
            return;
        }
        let mut held = match &request.response_format {
            ResponseFormat::JsonSchema { schema, .. } if caps.schema == SchemaMode::Native && caps.schema_with_tools => {
                Count::of(schema)
            }
            _ => Count::default(),
        };
        let detail = |what: String| format!("`{who}` takes no more than {what} in all that is strict");
        let count = |tool: &Tool| Count { tools: 1, ..Count::of(&tool.parameters) };
        let is_strict = |tool: &Tool| tool.strict == Some(true);
        if caps.strict_limits.together {
            let all = request.tools.iter().map(count).fold(held, Count::add);
            if let Some(what) = all.over(&caps.strict_limits).filter(|_| request.tools.iter().any(is_strict)) {
                request.tools.iter_mut().for_each(|tool| tool.strict = None);
                self.warnings.push(Warning::dropped("tools.strict", detail(what)));
            }
            return;
        }
        for tool in request.tools.iter_mut().filter(|tool| is_strict(tool)) {
            let more = held + count(tool);
            match more.over(&caps.strict_limits) {
                None => held = more,
                Some(what) => {
                    tool.strict = None;
                    self.warnings.push(Warning::dropped(format!("tools.{}.strict", tool.name), detail(what)));
                }
            }
        }
    }

    /// Leaves tools whose schema says what strict ones may not as they are, and not strict.
    fn strict_words(&mut self, request: &mut ChatRequest) {
        let mut refused = false;
        for tool in request.tools.iter_mut().filter(|tool| tool.strict == Some(true)) {
            if let Some(what) = self.caps.strict_schema.refused(&tool.parameters) {
                refused = true;
                tool.strict = None;
                let detail = format!("`{}` does not take {what} in a strict tool", self.who);
                self.warnings.push(Warning::dropped(format!("tools.{}.strict", tool.name), detail));
            }
        }
        if refused && self.caps.strict_limits.together {
            request.tools.iter_mut().for_each(|tool| tool.strict = None);
        }
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    tools: usize,
    properties: usize,
    optional: usize,
    unions: usize,
}

impl Add for Count {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            tools: self.tools + more.tools,
            properties: self.properties + more.properties,
            optional: self.optional + more.optional,
            unions: self.unions + more.unions,
        }
    }
}

impl Count {
    fn of(schema: &Value) -> Self {
        let mut count = Self::default();
        count.take(schema);
        count
    }

    fn take(&mut self, schema: &Value) {
        let Value::Object(fields) = schema else { return };
        let required = fields.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: HashSet<&str> = required.filter_map(Value::as_str).collect();
        self.unions += usize::from(fields.contains_key("anyOf") || fields.get("type").is_some_and(Value::is_array));
        for (keyword, value) in fields {
            match (keyword.as_str(), value) {
                // Data, in which nothing is a schema.
                ("const" | "default" | "enum" | "examples", _) => {}
                ("$defs" | "definitions" | "patternProperties", Value::Object(named)) => {
                    named.values().for_each(|schema| self.take(schema));
                }
                ("properties", Value::Object(named)) => {
                    for (name, schema) in named {
                        self.properties += 1;
                        self.optional += usize::from(!required.contains(name.as_str()));
                        self.take(schema);
                    }
                }
                (_, Value::Array(list)) => list.iter().for_each(|schema| self.take(schema)),
                (_, schema) => self.take(schema),
            }
        }
    }

    /// The first limit that it breaks, as in "20 tools".
    fn over(&self, limits: &StrictLimits) -> Option<String> {
        let rows = [
            (self.tools, limits.tools, "tools"),
            (self.properties, limits.properties, "properties"),
            (self.optional, limits.optional, "optional properties"),
            (self.unions, limits.unions, "unions of types"),
        ];
        let broken = rows.into_iter().find_map(|(held, most, what)| most.filter(|most| held > *most).map(|most| (most, what)));
        broken.map(|(most, what)| format!("{most} {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit;
    use super::*;
    use crate::chat::{Message, Role};
    use crate::provider::capability::Rules;
    use serde_json::json;

    /// Which of the tools stay strict, and what is said.
    fn kept(dialect: &str, model: &str, schemas: Vec<Value>) -> (Vec<bool>, Vec<String>) {
        let tool =
            |(number, parameters)| Tool { name: format!("t{number:02}"), parameters, strict: Some(true), ..Tool::default() };
        let tools = schemas.into_iter().enumerate().map(tool).collect();
        let request = ChatRequest { messages: vec![Message::text(Role::User, "hi")], tools, ..ChatRequest::default() };
        let caps = Rules::new(None).unwrap().find([dialect; 2], dialect, model).unwrap();
        let fitted = fit(&request, &caps, ("p/m", false), false).unwrap();
        let said = fitted.warnings.into_vec().iter().map(ToString::to_string).collect();
        (fitted.request.tools.iter().map(|tool| tool.strict == Some(true)).collect(), said)
    }

    fn object(properties: usize, kind: &Value, is_required: bool) -> Value {
        let named: serde_json::Map<String, Value> = (0..properties).map(|at| (format!("p{at}"), json!({"type": kind}))).collect();
        let required: Vec<&String> = named.keys().filter(|_| is_required).collect();
        json!({"type": "object", "required": required, "properties": named, "additionalProperties": false})
    }

    #[test]
    fn what_all_strict_tools_hold_together_is_counted() {
        let (text, nullable) = (json!("string"), json!(["string", "null"]));
        let claude = |schemas| kept("anthropic", "claude-sonnet-4-5", schemas);
        let (strict, said) = claude(vec![object(1, &text, true); 21]);
        assert_eq!((strict[19], strict[20]), (true, false));
        assert_eq!(said, ["`tools.t20.strict`: `p/m` takes no more than 20 tools in all that is strict; it was left out"]);
        let (strict, said) = claude(vec![object(13, &text, false), object(12, &text, false), object(11, &text, false)]);
        assert_eq!(strict, [true, false, true]);
        assert!(said[0].contains("24 optional properties"), "{said:?}");
        let (strict, said) = claude(vec![object(16, &nullable, true), object(1, &nullable, true)]);
        assert_eq!(strict, [true, false]);
        assert!(said[0].contains("16 unions of types"), "{said:?}");
        // Cohere's tools are strict together or not at all.
        let cohere = |last| kept("cohere", "command-a-03-2025", vec![object(150, &text, true), object(last, &text, true)]);
        assert_eq!(cohere(50), (vec![true, true], vec![]));
        let (strict, said) = cohere(51);
        assert_eq!((strict, said.len()), (vec![false, false], 1));
        assert_eq!(kept("openai", "gpt-4.1", vec![object(30, &nullable, true); 30]).1, [""; 0]);
    }

    #[test]
    fn what_a_strict_tool_may_not_say_costs_it_its_strictness() {
        let (good, mut bounded) = (object(1, &json!("integer"), true), object(1, &json!("integer"), true));
        bounded["properties"]["p0"]["minimum"] = json!(1);
        let asked = || vec![good.clone(), bounded.clone()];
        let left_out =
            |who: &str, tool: &str| format!("`tools.{tool}.strict`: `p/m` does not take {who} in a strict tool; it was left out");
        assert_eq!(kept("openai", "gpt-4.1", asked()), (vec![true, true], vec![]));
        assert_eq!(kept("anthropic", "claude-sonnet-4-5", asked()), (vec![true, false], vec![left_out("`minimum`", "t01")]));
        assert_eq!(kept("cohere", "command-a-03-2025", asked()), (vec![false, false], vec![left_out("`minimum`", "t01")]));
        let optional = vec![object(1, &json!("string"), false)];
        assert_eq!(kept("openai", "gpt-4.1", optional), (vec![false], vec![left_out("`p0` that is not required", "t00")]));
    }
}
