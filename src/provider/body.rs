//! A JSON body on its way out.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The fields of a body, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Body(pub(super) Map<String, Value>);

impl Body {
    /// Writes a field.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Writes a field that was said.
    pub(super) fn set_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Writes a list that has items.
    pub(super) fn set_list(&mut self, name: &str, items: Vec<Value>) {
        if !items.is_empty() {
            self.set(name, items);
        }
    }

    /// Writes an object that has fields.
    pub(super) fn set_object(&mut self, name: &str, fields: Self) {
        if !fields.0.is_empty() {
            self.set(name, fields.0);
        }
    }

    /// Adds the caller's own fields: objects are merged, lists are joined, anything else replaces what we wrote.
    ///
    /// # Errors
    /// A field would change what is asked, whom, or how the answer comes.
    pub(super) fn merge(&mut self, extra: &Map<String, Value>, reserved: &[&str]) -> Result<()> {
        for (name, value) in extra {
            if reserved.contains(&name.as_str()) {
                return Err(Error::bad_request(format!("`extra.{name}`: has a field of its own in the request; use that")));
            }
            match self.0.get_mut(name) {
                Some(before) => merge(before, value),
                None => self.set(name, value.clone()),
            }
        }
        Ok(())
    }
}

pub(super) fn merge(before: &mut Value, value: &Value) {
    match (before, value) {
        (Value::Object(before), Value::Object(more)) => {
            for (name, value) in more {
                match before.get_mut(name) {
                    Some(before) => merge(before, value),
                    None => {
                        before.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(before), Value::Array(more)) => before.extend(more.iter().cloned()),
        (before, value) => value.clone_into(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_of_the_callers_own_are_merged_but_replace_nothing_of_the_request() {
        let mut body = Body::default();
        body.set("a", json!({"x": 1, "y": {"z": 1}}));
        body.set("tools", json!([1]));
        let extra = json!({"a": {"y": {"w": 2}, "x": 3}, "tools": [2], "new": true});
        body.merge(extra.as_object().unwrap(), &["model"]).unwrap();
        assert_eq!(Value::Object(body.0), json!({"a": {"x": 3, "y": {"z": 1, "w": 2}}, "tools": [1, 2], "new": true}));
        let error = Body::default().merge(json!({"model": 1}).as_object().unwrap(), &["model"]).unwrap_err();
        assert_eq!(error.message(), "`extra.model`: has a field of its own in the request; use that");
    }
}
