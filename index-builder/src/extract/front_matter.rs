//! Front matter: what stands above a Markdown document, as YAML between `---` or TOML between `+++`.

use std::collections::BTreeMap;

use serde_json::Value;
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::{Yaml, YamlLoader};

use super::Refusal;
use super::draft::clean;

/// Front matter of one document, the fence that opened it told by its first line.
#[derive(Debug, Clone, Copy)]
pub(super) enum FrontMatter<'a> {
    Yaml(&'a str),
    Toml(&'a str),
}

/// More bytes than this are no front matter that anybody wrote; aliases in YAML could make more of them.
const MAX_BYTES: usize = 64 * 1024;

/// What lines that are no field of their own begin with.
const INNER: [char; 7] = [' ', '\t', '#', '-', '[', ']', '}'];

/// A name of more words is a sentence.
const WORDS_MAX: usize = 6;

/// Reads the fields. Nested ones get dotted names.
///
/// # Errors
/// It is not what its fence says; the text is for the report.
pub(super) fn read(front_matter: FrontMatter<'_>) -> Result<BTreeMap<String, Value>, String> {
    let refused = |cause: String| format!("front matter: {}; its fields are left out", cause.replace('\n', " "));
    let (FrontMatter::Yaml(text) | FrontMatter::Toml(text)) = front_matter;
    if text.len() > MAX_BYTES {
        return Err(refused(format!("{} bytes", text.len())));
    }
    let value = match front_matter {
        // An alias repeats what it names, and aliases of aliases explode: nobody needs them here.
        FrontMatter::Yaml(text) if has_alias(text) => return Err(refused("aliases (`*name`) are not read".to_owned())),
        FrontMatter::Yaml(text) => {
            let documents = YamlLoader::load_from_str(text).map_err(|cause| refused(cause.to_string()))?;
            documents.into_iter().next().map_or(Value::Null, |yaml| json_of(yaml, 0))
        }
        FrontMatter::Toml(text) => {
            let table = text.parse::<toml::Table>().map_err(|cause| refused(cause.message().to_owned()))?;
            json_of_toml(toml::Value::Table(table))
        }
    };
    match value {
        Value::Object(object) if object.is_empty() || are_names(object.keys().map(String::as_str)) => {
            Ok(crate::metadata::flatten(object))
        }
        _ => Err(refused("not a list of fields".to_owned())),
    }
}

/// Whether a line begins with the name of the field that says who may see the document.
pub(super) fn names_access(front_matter: FrontMatter<'_>) -> bool {
    let (FrontMatter::Yaml(text) | FrontMatter::Toml(text)) = front_matter;
    text.lines().any(line_names_access)
}

/// Refuses a text of another format than Markdown, where front matter is text like any other, if it says who may see the
/// document.
pub(super) fn require_no_access(text: &str) -> Result<(), Refusal> {
    // Few texts begin with a fence; the others need not be read twice.
    if !text.trim_start_matches(|char: char| !char.is_ascii_graphic()).starts_with(['-', '+']) {
        return Ok(());
    }
    let text = clean(text);
    let is_labelled = match split(&text).0 {
        Some(front_matter) => read(front_matter).map_or_else(|_| names_access(front_matter), |fields| has_access(&fields)),
        None => is_spoilt(&text, begins_with_access),
    };
    if is_labelled {
        let remedy = "move it into `FILE.metadata.json` beside the file";
        return Err(Refusal::new(format!("front matter: read in Markdown only, and `access` is one of its fields; {remedy}")));
    }
    Ok(())
}

/// Whether the field is among these, at the top level: what is nested there may be anything.
fn has_access(fields: &BTreeMap<String, Value>) -> bool {
    fields.keys().any(|name| name.split('.').next().is_some_and(|outer| outer.eq_ignore_ascii_case("access")))
}

/// Whether a Markdown document begins with a fence, or nearly, that encloses no front matter, and a field below it says who may
/// see it.
pub(super) fn is_spoilt_and_names_access(source: &str) -> bool {
    is_spoilt(source, line_names_access)
}

/// Whether a document begins with a fence, or nearly, that encloses no front matter, and below it stands such a line among
/// fields.
fn is_spoilt(source: &str, names_access: fn(&str) -> bool) -> bool {
    let is_fence = |line: &&str| {
        let line = line.trim();
        line.len() >= 3 && ["-", "+"].iter().any(|mark| line.trim_start_matches(mark).is_empty())
    };
    let is_blank = |line: &str| line.trim().is_empty();
    let mut lines = source.lines().skip_while(|line| is_blank(line));
    let Some(mut before) = lines.next().filter(is_fence) else { return false };
    let (mut is_begun, mut is_prose) = (false, false);
    for line in lines {
        if names_access(line) {
            return true;
        }
        match () {
            () if is_fence(&line) && is_begun => return false,
            () if is_fence(&line) => {}
            () if is_blank(line) && is_prose => return false,
            () if is_blank(line) => {}
            // A heading, or a comment of the fields below it.
            () if line.starts_with('#') => is_prose |= is_blank(before),
            () => is_prose |= !may_be_of_fields(line),
        }
        is_begun |= !is_fence(&line) && !is_blank(line);
        before = line;
    }
    false
}

/// Whether a line may stand among fields: it has a name that is no sentence, or goes on with a field above it.
fn may_be_of_fields(line: &str) -> bool {
    let is_named = || line.split_once([':', '=']).is_some_and(|(name, _)| words(name) <= WORDS_MAX);
    line.starts_with(['{', '"', '\'']) || line.starts_with(INNER) || is_named()
}

/// Whether a line has the name of the field that says who may see the document, wherever YAML and TOML allow one.
fn line_names_access(line: &str) -> bool {
    let names_access = |field: &str| {
        let field = field.trim_start_matches(|char: char| !char.is_alphanumeric());
        let end = field.find(|char: char| !char.is_alphanumeric() && !matches!(char, '.' | '_' | '-')).unwrap_or(field.len());
        let (name, rest) = field.split_at(end);
        let is_named = name.split('.').any(|part| part.eq_ignore_ascii_case("access"));
        is_named && rest.trim_start_matches([' ', '\t', '"', '\'']).starts_with([':', '=', ']'])
    };
    !line.trim_start().starts_with('#') && line.split([',', '{']).any(names_access)
}

/// Whether a line is that field, at the top level: in other texts than Markdown, `-- Access: public` is a comment.
fn begins_with_access(line: &str) -> bool {
    let name = line.trim_start_matches(['"', '\'']).split([':', '=']).next().unwrap_or_default();
    let is_field = name.len() < line.len() && name.trim_end_matches([' ', '\t', '"', '\'']).eq_ignore_ascii_case("access");
    is_field || line.trim_end().eq_ignore_ascii_case("[access]") || (line.starts_with('{') && line_names_access(line))
}

/// Whether all lines look like fields, so that what cannot be read is front matter with a mistake, and no text between two rules.
pub(super) fn looks_like_fields(front_matter: FrontMatter<'_>) -> bool {
    let (FrontMatter::Yaml(text) | FrontMatter::Toml(text)) = front_matter;
    let outer = text.lines().filter(|line| !line.is_empty() && !line.starts_with(INNER));
    let names: Option<Vec<&str>> = outer.map(|line| line.split_once([':', '=']).map(|(name, _)| name)).collect();
    names.is_some_and(|names| are_names(names.into_iter()))
}

/// Whether these may be the names of fields: one is plain, and none is a sentence. Names of several words are in use
/// (`Date of last review`), and any characters (`$schema`, `date (UTC)`).
fn are_names<'a>(mut names: impl Iterator<Item = &'a str> + Clone) -> bool {
    const PLAIN_WORDS_MAX: usize = 3;
    let is_in_plain = |char: char| char.is_alphanumeric() || matches!(char, ' ' | '_' | '-' | '.' | '/' | '"' | '\'');
    let is_plain = |name: &str| name.chars().all(is_in_plain) && (1..=PLAIN_WORDS_MAX).contains(&words(name));
    names.clone().all(|name| words(name) <= WORDS_MAX) && names.any(is_plain)
}

fn words(name: &str) -> usize {
    name.split_whitespace().count()
}

/// Whether an alias stands in it, as far as it can be read.
fn has_alias(yaml: &str) -> bool {
    let mut parser = Parser::new_from_str(yaml);
    loop {
        match parser.next_token() {
            Ok((Event::Alias(_), _)) => return true,
            Ok((Event::StreamEnd, _)) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

fn json_of(yaml: Yaml, depth: usize) -> Value {
    if depth > 16 {
        return Value::Null;
    }
    match yaml {
        Yaml::String(text) => text.into(),
        Yaml::Boolean(truth) => truth.into(),
        Yaml::Integer(number) => number.into(),
        Yaml::Real(text) => text.parse::<f64>().map_or_else(|_| text.into(), Value::from),
        Yaml::Array(list) => list.into_iter().map(|item| json_of(item, depth + 1)).collect(),
        Yaml::Hash(fields) => {
            let fields = fields.into_iter().filter_map(|(name, value)| {
                let name = match json_of(name, depth + 1) {
                    Value::String(name) => name,
                    Value::Null => return None,
                    other => other.to_string(),
                };
                Some((name, json_of(value, depth + 1)))
            });
            Value::Object(fields.collect())
        }
        Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => Value::Null,
    }
}

fn json_of_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(json_of_toml).collect(),
        toml::Value::Table(table) => Value::Object(table.into_iter().map(|(name, value)| (name, json_of_toml(value))).collect()),
    }
}

/// Cuts off YAML (`---`) or TOML (`+++`) front matter: the first line opens it, an equal line (or `...`) closes it.
pub(super) fn split(source: &str) -> (Option<FrontMatter<'_>>, &str) {
    let Some(fence) =
        ["---", "+++"].into_iter().find(|fence| source.lines().next().is_some_and(|line| line.trim_end() == *fence))
    else {
        return (None, source);
    };
    let start = source.find('\n').map_or(source.len(), |at| at + 1);
    let mut at = start;
    for line in source[start..].split_inclusive('\n') {
        let closes = line.trim_end() == fence || (fence == "---" && line.trim_end() == "...");
        // A rule on the first line of a document is no front matter: that has keys and no empty first line.
        if at == start && (closes || !line.contains([':', '=', '#'])) {
            break;
        }
        if closes {
            let inside = &source[start..at];
            let front_matter = if fence == "---" { FrontMatter::Yaml(inside) } else { FrontMatter::Toml(inside) };
            return (Some(front_matter), &source[at + line.len()..]);
        }
        at += line.len();
    }
    (None, source)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(source: &str) -> Value {
        let (front_matter, _) = split(source);
        serde_json::to_value(read(front_matter.unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn yaml_and_toml_give_the_same_fields() {
        let expected = json!({"title": "T", "tags": ["a", "b"], "year": 2024, "draft": false, "date": "2024-05-31", "geo.country": "de", "price": 1.5});
        let yaml = "---\ntitle: T\ntags:\n  - a\n  - b\nyear: 2024\ndraft: false\ndate: 2024-05-31\nprice: 1.5\ngeo: {country: de}\nempty:\n---\n";
        let mut yaml = fields(yaml);
        assert_eq!(yaml["empty"], Value::Null);
        yaml.as_object_mut().unwrap().remove("empty");
        assert_eq!(yaml, expected);
        let toml = "+++\ntitle = 'T'\ntags = ['a', 'b']\nyear = 2024\ndraft = false\ndate = 2024-05-31\nprice = 1.5\n[geo]\ncountry = 'de'\n+++\n";
        assert_eq!(fields(toml), expected);
    }

    #[test]
    fn an_unusual_name_costs_no_field() {
        let yaml = "---\n$schema: s\ntitle: T\ndate (UTC): d\nDate of last review: r\nog:title: o\naccess: hr\n---\n";
        let expected =
            json!({"$schema": "s", "title": "T", "date (UTC)": "d", "Date of last review": "r", "og:title": "o", "access": "hr"});
        assert_eq!(fields(yaml), expected);
        let (front_matter, _) = split("---\n$schema: [s\ntitle: T\n---\n");
        assert!(looks_like_fields(front_matter.unwrap()));
        assert_eq!(fields("---\nonline version: 1\n---\n"), json!({"online version": 1}));
        assert_eq!(fields("+++\n# none\n+++\n"), json!({}));
    }

    #[test]
    fn an_asterisk_alone_is_no_alias() {
        let yaml = "---\ndescription: \"Matches: *.rs files, *.toml\"\nnote: |\n  - *one\n  * two\n---\n";
        assert_eq!(fields(yaml), json!({"description": "Matches: *.rs files, *.toml", "note": "- *one\n* two\n"}));
        for yaml in ["---\na: &x 1\nb:   *x\n---\n", "---\na: &x [1]\nb: [2,*x]\n---\n"] {
            let refused = read(split(yaml).0.unwrap()).unwrap_err();
            assert_eq!(refused, "front matter: aliases (`*name`) are not read; its fields are left out", "{yaml}");
        }
    }

    #[test]
    fn labels_that_nobody_reads_leave_their_document_out() {
        let closed = "---\r\ntitle: Pay\r\naccess: [hr]\r\n---\r\n\r\nSalaries,and,more\n";
        for name in ["a.txt", "a.rst", "a.adoc", "a", "a.html", "a.csv"] {
            let refused = crate::extract::extract(closed.as_bytes(), name, None).unwrap_err().to_string();
            let expected = "front matter: read in Markdown only, and `access` is one of its fields; move it into `FILE.metadata.json` beside the file";
            assert_eq!(refused, expected, "{name}");
        }
        for name in ["md", "markdown", "mdown", "mkd", "mkdn", "mkdown", "mdwn", "mdtxt", "mdtext", "markdn"] {
            let document = crate::extract::extract(closed.as_bytes(), &format!("a.{name}"), None).unwrap();
            assert_eq!(document.metadata["access"], json!(["hr"]), "{name}");
        }
        let spoilt = [
            "---\naccess: [hr]\nSalaries",
            "\n---\naccess: [hr]\n---\n",
            "-----\ntitle: T\n'access' : hr\n-----\n",
            "\u{feff}\r\n+++\r\nAccess = ['hr']\r\n",
            "---\n  access: hr\n---\n",
            "---\na: [\n{access: hr}\n---\n",
            "---\n{title: T, access: [hr]}\nSalaries",
            "+++\n[access]\ngroups = [\"hr\"]\nSalaries",
        ];
        for text in spoilt {
            for name in ["a.txt", "a.html", "a.csv"] {
                assert!(crate::extract::extract(text.as_bytes(), name, None).is_err(), "{name}: {text}");
            }
        }
        let open = [
            "---\ntitle: T\n---\naccess: how to get it\n",
            "---\n\nNobody has access: ask.\n\n---\n",
            "access: hr\n---\n",
            "-----\n-- Access: public\n-----\nselect 1;\n",
            "----------\n  Access: public\n----------\n",
            "---\nroles:\n  access: read\n---\n",
            "---\nroles:\n  access: read\n",
        ];
        for text in open {
            assert!(crate::extract::extract(text.as_bytes(), "a.txt", None).is_ok(), "{text}");
        }
        // What stands between such lines there is a document of YAML's own.
        for name in ["roles.yml", "roles.yaml.j2", ".yml.example"] {
            assert!(crate::extract::extract(b"---\naccess: read\n---\nb: 1\n", name, None).is_ok(), "{name}");
        }
        assert!(crate::extract::extract(b"---\naccess: read\n---\nb: 1\n", "report.yaml.txt", None).is_err());
    }

    #[test]
    fn what_is_no_front_matter_is_said() {
        for source in
            ["---\na: [\n---\n", "---\na: &x 1\nb: *x\n---\n", "+++\na = \n+++\n", "---\n- x: y\n---\n", "---\n# x\n---\n"]
        {
            let (front_matter, _) = split(source);
            assert!(read(front_matter.unwrap()).unwrap_err().starts_with("front matter: "), "{source}");
        }
    }
}
