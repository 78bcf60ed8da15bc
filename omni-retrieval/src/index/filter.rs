//! Filters: which chunks a search may find, as JSON and as a short form for command lines.
//!
//! One operator a node. A leaf names its field: `{"field": "year", "range": {"gte": 2020}}`; nodes hold others:
//! `{"and": [..]}`, `{"or": [..]}`, `{"not": {..}}`. A field with several values passes if one of them does, and a document
//! without the field never does; `not` lets through what the filter inside does not.

use serde_json::{Map, Value};

use super::facets::Scalar;
use crate::error::{Error, Result, quoted};

/// Nodes above one another.
const MAX_DEPTH: usize = 16;

/// Nodes of one filter.
const MAX_NODES: usize = 256;

/// Values of one `in`.
const MAX_VALUES: usize = 1000;

/// Bytes of one text.
const MAX_BYTES: usize = 2048;

/// What a node does; those that hold filters first.
const OPERATORS: [&str; 7] = ["and", "or", "not", "eq", "in", "range", "prefix"];

/// Which chunks a search may find.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Those that pass all of these.
    All(Vec<Self>),
    /// Those that pass one of these.
    Any(Vec<Self>),
    /// Those that do not pass this.
    Not(Box<Self>),
    /// Those that have a value of this field that passes the test.
    Field {
        /// Its name.
        field: String,
        /// What its value has to be.
        test: Test,
    },
}

/// What a value has to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// One of these.
    In(Vec<Scalar>),
    /// A text that begins so.
    Prefix(String),
    /// A number or date between these; the truth value says whether the bound itself is in.
    Range {
        /// The lower bound.
        low: Option<(Scalar, bool)>,
        /// The upper bound.
        high: Option<(Scalar, bool)>,
    },
}

impl Filter {
    /// Those whose `field` begins with `prefix`.
    pub fn prefix(field: &str, prefix: impl Into<String>) -> Self {
        Self::Field { field: field.to_owned(), test: Test::Prefix(prefix.into()) }
    }

    /// Those whose `field` is `value`.
    pub fn equal(field: &str, value: impl Into<String>) -> Self {
        Self::Field { field: field.to_owned(), test: Test::In(vec![Scalar::Text(value.into())]) }
    }

    /// Reads JSON. `path` is what messages call it.
    ///
    /// # Errors
    /// It is no filter or too large; the text names the place.
    pub fn from_json(value: &Value, path: &str) -> Result<Self> {
        let mut nodes = 0;
        read(value, path, 1, &mut nodes)
    }

    /// Reads what stands on a command line: JSON, or `FIELD=VALUE`, `FIELD!=VALUE`, `FIELD=PREFIX*`, `FIELD>=VALUE`, `>`,
    /// `<=`, `<`. Commas separate alternatives: `tags=linux,macos`; a value in double quotes is taken as it is.
    ///
    /// # Errors
    /// It is neither, or would pass nothing that is likely to be meant.
    pub fn parse(text: &str) -> Result<Self> {
        if text.trim_start().starts_with('{') {
            let value =
                serde_json::from_str(text).map_err(|cause| Error::bad_request(format!("`--filter`: not JSON: {cause}")))?;
            return Self::from_json(&value, "--filter");
        }
        // The first one in the text, the longer one of two at the same place: values may hold others.
        let operators = ["!=", ">=", "<=", ">", "<", "="].iter().filter_map(|operator| Some((text.find(operator)?, *operator)));
        if let Some((at, operator)) = operators.min_by_key(|&(at, operator)| (at, std::cmp::Reverse(operator.len()))) {
            let (field, value) = (text[..at].trim(), text[at + operator.len()..].trim());
            if !field.is_empty() && !value.is_empty() {
                return short(field, operator, value).map_err(|why| Error::bad_request(format!("`--filter`: `{text}`: {why}")));
            }
        }
        let forms = "write `FIELD=VALUE`, `FIELD!=VALUE`, `FIELD=A,B`, `FIELD=PREFIX*`, `FIELD>=VALUE` or JSON";
        Err(Error::bad_request(format!("`--filter`: `{text}` is no filter; {forms}")))
    }
}

fn short(field: &str, operator: &str, value: &str) -> Result<Filter, String> {
    let tested = |test| Filter::Field { field: field.to_owned(), test };
    let mut tests = alternatives(value)?;
    let (low, high) = match operator {
        "!=" => return Ok(Filter::Not(Box::new(short(field, "=", value)?))),
        "=" if tests.len() == 1 => return Ok(tested(tests.remove(0))),
        "=" => return Ok(Filter::Any(tests.into_iter().map(tested).collect())),
        ">=" | ">" => (Some(operator == ">="), None),
        _ => (None, Some(operator == "<=")),
    };
    match tests.as_slice() {
        [Test::In(values)] if values.len() == 1 => {
            let bound = |inclusive: Option<bool>| Some((values[0].clone(), inclusive?));
            Ok(tested(Test::Range { low: bound(low), high: bound(high) }))
        }
        _ => Err(format!("`{operator}` takes one value")),
    }
}

/// What a value on a command line may be: all that stands between commas and has no `*` together, then each beginning.
fn alternatives(value: &str) -> Result<Vec<Test>, String> {
    let (mut values, mut tests, mut rest) = (Vec::new(), Vec::new(), value);
    loop {
        rest = rest.trim_start();
        let (alternative, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (text, after) = quoted.split_once('"').ok_or("the quote is not closed")?;
                values.push(Scalar::Text(text.to_owned()));
                (None, after.trim_start())
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Some(rest[..end].trim_end()), &rest[end..])
            }
        };
        if let Some(plain) = alternative {
            if plain.is_empty() {
                return Err("nothing stands beside a comma; leave it out, or write `\"\"` for an empty text".to_owned());
            }
            let prefix = plain.strip_suffix('*');
            if prefix.unwrap_or(plain).contains('*') {
                return Err("`*` stands at the end of a value, for what begins so; put a value that has one into double quotes"
                    .to_owned());
            }
            match prefix {
                Some(prefix) => tests.push(Test::Prefix(prefix.to_owned())),
                None => values.push(Scalar::Text(plain.to_owned())),
            }
        }
        rest = match after.strip_prefix(',') {
            Some(next) => next,
            None if after.is_empty() => break,
            None => return Err("only a comma may follow a value in quotes".to_owned()),
        };
    }
    if !values.is_empty() {
        tests.insert(0, Test::In(values));
    }
    Ok(tests)
}

fn read(value: &Value, path: &str, depth: usize, nodes: &mut usize) -> Result<Filter> {
    *nodes += 1;
    if depth > MAX_DEPTH {
        return Err(Error::bad_request(format!("`{path}`: deeper than {MAX_DEPTH} filters; flatten it")));
    }
    if *nodes > MAX_NODES {
        return Err(Error::bad_request(format!("`{path}`: more than {MAX_NODES} filters; use `in` for lists of values")));
    }
    let object = object(value, path)?;
    for key in object.keys() {
        if key != "field" && !OPERATORS.contains(&key.as_str()) {
            let known = quoted(OPERATORS);
            return Err(Error::bad_request(format!("`{path}.{key}`: unknown field; expected `field` and one of {known}")));
        }
    }
    let field = object.get("field");
    let mut given = object.iter().filter(|(key, _)| *key != "field");
    let (Some((operator, operand)), None) = (given.next(), given.next()) else {
        let (count, known) = (object.len() - usize::from(field.is_some()), quoted(OPERATORS));
        return Err(Error::bad_request(format!("`{path}`: has {count} operators; give exactly one of {known}")));
    };
    let inner = format!("{path}.{operator}");
    match (field, operator.as_str()) {
        (None, "and" | "or" | "not") => node(operator, operand, &inner, depth, nodes),
        (Some(_), "and" | "or" | "not") => {
            let message = format!("`{path}.field`: has no place beside `{operator}`; put it into the filters inside");
            Err(Error::bad_request(message))
        }
        (Some(Value::String(field)), _) => Ok(Filter::Field { field: field.clone(), test: test(operator, operand, &inner)? }),
        _ => Err(Error::bad_request(format!("`{path}.field`: missing; name the field that `{operator}` tests"))),
    }
}

/// What holds other filters.
fn node(operator: &str, operand: &Value, path: &str, depth: usize, nodes: &mut usize) -> Result<Filter> {
    if operator == "not" {
        return Ok(Filter::Not(Box::new(read(operand, path, depth + 1, nodes)?)));
    }
    let Some(list) = operand.as_array().filter(|list| !list.is_empty()) else {
        return Err(Error::bad_request(format!("`{path}`: not a list of filters; put at least one into it")));
    };
    let parts = list.iter().enumerate();
    let parts = parts.map(|(at, part)| read(part, &format!("{path}[{at}]"), depth + 1, nodes)).collect::<Result<_>>()?;
    Ok(if operator == "and" { Filter::All(parts) } else { Filter::Any(parts) })
}

/// What tests a field.
fn test(operator: &str, operand: &Value, path: &str) -> Result<Test> {
    match operator {
        "eq" => Ok(Test::In(vec![scalar(operand, path)?])),
        "in" => {
            let Some(list) = operand.as_array().filter(|list| (1..=MAX_VALUES).contains(&list.len())) else {
                return Err(Error::bad_request(format!("`{path}`: not a list of 1 to {MAX_VALUES} values")));
            };
            let values = list.iter().enumerate();
            Ok(Test::In(values.map(|(at, value)| scalar(value, &format!("{path}[{at}]"))).collect::<Result<_>>()?))
        }
        "prefix" => match scalar(operand, path)? {
            Scalar::Text(prefix) => Ok(Test::Prefix(prefix)),
            Scalar::Number(_) => Err(Error::bad_request(format!("`{path}`: not a text"))),
        },
        _ => range(operand, path),
    }
}

fn range(value: &Value, path: &str) -> Result<Test> {
    let (mut low, mut high) = (None, None);
    for (key, bound) in object(value, path)? {
        let inner = format!("{path}.{key}");
        let (side, inclusive) = match key.as_str() {
            "gte" => (&mut low, true),
            "gt" => (&mut low, false),
            "lte" => (&mut high, true),
            "lt" => (&mut high, false),
            _ => return Err(Error::bad_request(format!("`{inner}`: unknown field; expected `gt`, `gte`, `lt` or `lte`"))),
        };
        if side.replace((scalar(bound, &inner)?, inclusive)).is_some() {
            return Err(Error::bad_request(format!("`{path}`: two bounds on the same side; give one of them")));
        }
    }
    if low.is_none() && high.is_none() {
        return Err(Error::bad_request(format!("`{path}`: empty; give one of `gt`, `gte`, `lt`, `lte`")));
    }
    Ok(Test::Range { low, high })
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>> {
    let example = r#"{"field": "source", "prefix": "docs/"}"#;
    value.as_object().ok_or_else(|| Error::bad_request(format!("`{path}`: not an object; write for example `{example}`")))
}

fn scalar(value: &Value, path: &str) -> Result<Scalar> {
    match Scalar::from_json(value) {
        Some(Scalar::Text(text)) if text.len() > MAX_BYTES => {
            Err(Error::bad_request(format!("`{path}`: {} bytes; at most {MAX_BYTES}", text.len())))
        }
        Some(scalar) => Ok(scalar),
        None => Err(Error::bad_request(format!("`{path}`: not a text, a number or a truth value"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_read_as_it_looks() {
        let filter = json!({"and": [{"field": "tags", "in": ["a", 2, true]}, {"not": {"field": "year", "range": {"gte": 2020, "lt": "2024-05"}}}]});
        let year = Test::Range { low: Some((Scalar::Number(2020.0), true)), high: Some((Scalar::Text("2024-05".into()), false)) };
        let expected = Filter::All(vec![
            Filter::Field {
                field: "tags".into(),
                test: Test::In(vec![Scalar::Text("a".into()), Scalar::Number(2.0), Scalar::Text("true".into())]),
            },
            Filter::Not(Box::new(Filter::Field { field: "year".into(), test: year })),
        ]);
        assert_eq!(Filter::from_json(&filter, "filter").unwrap(), expected);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let text = |value: Value| Filter::from_json(&value, "f").unwrap_err().to_string();
        for (value, expected) in [
            (json!([]), "`f`: not an object; write for example `{\"field\": \"source\", \"prefix\": \"docs/\"}`"),
            (json!({}), "`f`: has 0 operators; give exactly one of `and`, `or`, `not`, `eq`, `in`, `range`, `prefix`"),
            (
                json!({"field": "a", "eq": 1, "in": [2]}),
                "`f`: has 2 operators; give exactly one of `and`, `or`, `not`, `eq`, `in`, `range`, `prefix`",
            ),
            (
                json!({"field": "a", "equals": 1}),
                "`f.equals`: unknown field; expected `field` and one of `and`, `or`, `not`, `eq`, `in`, `range`, `prefix`",
            ),
            (json!({"eq": 1}), "`f.field`: missing; name the field that `eq` tests"),
            (json!({"field": "a", "not": {}}), "`f.field`: has no place beside `not`; put it into the filters inside"),
            (json!({"or": []}), "`f.or`: not a list of filters; put at least one into it"),
            (
                json!({"or": [{"field": "a", "range": {"ge": 1}}]}),
                "`f.or[0].range.ge`: unknown field; expected `gt`, `gte`, `lt` or `lte`",
            ),
            (json!({"field": "a", "range": {}}), "`f.range`: empty; give one of `gt`, `gte`, `lt`, `lte`"),
            (json!({"field": "a", "range": {"gt": 1, "gte": 2}}), "`f.range`: two bounds on the same side; give one of them"),
            (json!({"field": "a", "in": []}), "`f.in`: not a list of 1 to 1000 values"),
            (json!({"field": "a", "eq": null}), "`f.eq`: not a text, a number or a truth value"),
            (json!({"field": "a", "prefix": 5}), "`f.prefix`: not a text"),
        ] {
            assert_eq!(text(value), expected);
        }
        let deep = (0..16).fold(json!({"field": "a", "eq": 1}), |inner, _| json!({"not": inner}));
        assert!(text(deep).ends_with(": deeper than 16 filters; flatten it"));
        let wide = json!({"or": vec![json!({"field": "a", "eq": 1}); 256]});
        assert_eq!(text(wide), "`f.or[255]`: more than 256 filters; use `in` for lists of values");
        let long = json!({"field": "a", "eq": "x".repeat(2049)});
        assert_eq!(text(long), "`f.eq`: 2049 bytes; at most 2048");
    }

    #[test]
    fn the_short_form_says_the_same() {
        let json = |text: &str| Filter::from_json(&serde_json::from_str(text).unwrap(), "f").unwrap();
        for (short, long) in [
            ("tags=linux, macos", r#"{"field":"tags","in":["linux","macos"]}"#),
            ("source=docs/*", r#"{"field":"source","prefix":"docs/"}"#),
            (
                "source=docs/*,README.md, notes/*",
                r#"{"or":[{"field":"source","in":["README.md"]},{"field":"source","prefix":"docs/"},{"field":"source","prefix":"notes/"}]}"#,
            ),
            (r#"title="Filters, access and *", x"#, r#"{"field":"title","in":["Filters, access and *","x"]}"#),
            (r#"date>="2024, May""#, r#"{"field":"date","range":{"gte":"2024, May"}}"#),
            ("lang!=en", r#"{"not":{"field":"lang","in":["en"]}}"#),
            ("year>=2020", r#"{"field":"year","range":{"gte":"2020"}}"#),
            ("date < 2024-05", r#"{"field":"date","range":{"lt":"2024-05"}}"#),
            (r#"{"field":"a","eq":"x=y"}"#, r#"{"field":"a","eq":"x=y"}"#),
        ] {
            assert_eq!(Filter::parse(short).unwrap(), json(long), "{short}");
        }
        assert_eq!(
            Filter::parse("section=Install > Linux != Windows").unwrap(),
            Filter::equal("section", "Install > Linux != Windows")
        );
        let error = |text: &str| Filter::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("tags"),
            "`--filter`: `tags` is no filter; write `FIELD=VALUE`, `FIELD!=VALUE`, `FIELD=A,B`, `FIELD=PREFIX*`, `FIELD>=VALUE` or JSON"
        );
        assert_eq!(
            error("source=*.md"),
            "`--filter`: `source=*.md`: `*` stands at the end of a value, for what begins so; put a value that has one into double quotes"
        );
        assert_eq!(error(r#"title="a"#), r#"`--filter`: `title="a`: the quote is not closed"#);
        assert_eq!(error(r#"title="a" b"#), r#"`--filter`: `title="a" b`: only a comma may follow a value in quotes"#);
        for empty in ["source=a.txt,", "source=,a.txt", "source=a.txt,,b.txt", r#"source="a.txt", "#] {
            let expected = "nothing stands beside a comma; leave it out, or write `\"\"` for an empty text";
            assert_eq!(error(empty), format!("`--filter`: `{empty}`: {expected}"));
        }
        assert_eq!(Filter::parse(r#"source="""#).unwrap(), Filter::equal("source", ""));
        assert_eq!(error("year>=2020,2021"), "`--filter`: `year>=2020,2021`: `>=` takes one value");
    }
}
