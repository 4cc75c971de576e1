//! The parameters of a request: a query or a JSON object, read the same way.
//!
//! The venue's clients send numbers as strings mostly and as JSON numbers sometimes; both are read.
//! An empty string counts as absent, as it does there.

use std::borrow::Cow;
use std::str::FromStr;

use keel_core::decimal::Decimal;
use serde_json::{Map, Value};

use super::reject;
use crate::reject::Reject;

/// Named parameters.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Map<String, Value>);

impl Params {
    /// From a query's pairs; of a repeated name the first counts.
    pub(super) fn of_query(pairs: Vec<(String, String)>) -> Self {
        let mut map = Map::new();
        for (name, value) in pairs {
            map.entry(name).or_insert(Value::String(value));
        }
        Self(map)
    }

    /// From a JSON value that should be an object; anything else has no parameters.
    pub(super) fn of_value(value: Value) -> Self {
        match value {
            Value::Object(map) => Self(map),
            _ => Self::default(),
        }
    }

    /// The text of a parameter; `None` when it is absent, empty, or neither text nor number.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.0.get(name)? {
            Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// The text of a parameter that must be there.
    ///
    /// # Errors
    /// 40019 when it is absent.
    pub(super) fn required(&self, name: &str) -> Result<Cow<'_, str>, Reject> {
        self.text(name).ok_or_else(|| reject::empty(name))
    }

    /// A parameter read as `T`.
    ///
    /// # Errors
    /// 40020 when its text is no `T`.
    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Reject> {
        self.text(name).map(|text| text.parse().map_err(|_| reject::wrong(name, &text))).transpose()
    }

    /// A decimal number.
    ///
    /// # Errors
    /// 40020 when its text is no plain decimal number.
    pub(super) fn decimal(&self, name: &str) -> Result<Option<Decimal>, Reject> {
        self.text(name)
            .map(|text| Decimal::parse(text.as_bytes()).map_err(|_| reject::wrong(name, &text)))
            .transpose()
    }

    /// A list of texts; `None` when absent.
    ///
    /// # Errors
    /// 40020 when it is no list, or has something else in it.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Reject> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) => {
                let texts = list.iter().map(|value| value.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().map(Some).ok_or_else(|| reject::wrong(name, "list"))
            }
            Some(_) => Err(reject::wrong(name, "no list")),
        }
    }

    /// One of some words, in any letter case; `None` when absent.
    ///
    /// # Errors
    /// 40020 when it is another word.
    pub(super) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Reject> {
        let Some(text) = self.text(name) else { return Ok(None) };
        words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(&text))
            .map(|(_, value)| Some(*value))
            .ok_or_else(|| reject::wrong(name, &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_read_as_text_or_as_numbers_and_empty_is_absent() {
        let params = Params::of_value(json!({"a": "1.5", "b": 1.5, "c": "", "d": null, "e": [1]}));
        let number = Decimal { mantissa: 15, scale: 1 };
        assert_eq!(params.decimal("a"), Ok(Some(number)));
        assert_eq!(params.decimal("b"), Ok(Some(number)));
        for absent in ["c", "d", "e", "f"] {
            assert_eq!(params.text(absent), None, "{absent}");
        }
        assert_eq!(params.required("c").unwrap_err().code, 40019);
        assert_eq!(params.parsed::<u32>("a").unwrap_err().code, 40020);
        assert_eq!(params.word("a", &[("x", 1)]).unwrap_err().code, 40020);
    }
}
