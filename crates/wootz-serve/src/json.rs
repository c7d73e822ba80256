//! Request bodies: one JSON object, read in parts, whose mistakes are named by parameter.
//!
//! The types that are read are the types that `/openapi.json` documents. Each part is a struct of its own that reads its
//! own keys; a key that no part documents is refused, so that nothing a client asks for is passed over in silence.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::PartialSchema;
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{Object, RefOr, Schema};

/// A request that can't be answered as it was asked, in words for the one who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The parameter, as a path into the body: `messages[2].content`.
    pub param: Option<String>,
    /// What was found and what is possible.
    pub message: String,
}

impl Refusal {
    /// A refusal of one parameter.
    pub fn of(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), message: message.into() }
    }

    /// A refusal of the whole request.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { param: None, message: message.into() }
    }
}

/// The parameters that an endpoint knows.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    known: BTreeSet<String>,
}

/// A body that is a JSON object of known parameters.
#[derive(Debug)]
pub struct Body {
    object: Value,
}

impl Parameters {
    /// Those of one part more: the properties in its schema.
    ///
    /// # Panics
    /// If the part's schema is not that of an object, which is a mistake in the program.
    #[must_use]
    pub fn with<Part: PartialSchema>(mut self) -> Self {
        let RefOr::T(Schema::Object(object)) = Part::schema() else {
            panic!("{} is documented as something else than an object", std::any::type_name::<Part>());
        };
        self.known.extend(object.properties.keys().cloned());
        self
    }

    /// Reads a body.
    ///
    /// # Errors
    /// No JSON, no object, or a parameter that is not known.
    pub fn read(&self, body: &[u8]) -> Result<Body, Refusal> {
        let object: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::whole(format!("the request's body is not JSON: {error}")))?;
        let Value::Object(entries) = &object else {
            return Err(Refusal::whole(format!(
                "the request's body is {}, not a JSON object",
                kind(&object)
            )));
        };
        match entries.keys().find(|key| !self.known.contains(*key)) {
            None => Ok(Body { object }),
            Some(unknown) => Err(self.refuse_unknown(unknown)),
        }
    }

    fn refuse_unknown(&self, unknown: &str) -> Refusal {
        let shown: String = unknown.chars().take(64).collect();
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        Refusal::of(
            shown.clone(),
            format!(
                "unknown parameter {shown:?}: this endpoint knows {}. Leave it out, or look it up in /openapi.json",
                known.join(", ")
            ),
        )
    }
}

impl Body {
    /// One part of it.
    ///
    /// # Errors
    /// A value of the wrong type; the error names its path.
    pub fn part<Part: DeserializeOwned>(&self) -> Result<Part, Refusal> {
        serde_path_to_error::deserialize(&self.object).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            match path.as_str() {
                "." => Refusal::whole(inner.to_string()),
                _ => Refusal::of(path.clone(), format!("{path}: {inner}")),
            }
        })
    }
}

/// The schema of a body that is read in these parts: one object with the parameters of all, and no others.
///
/// # Panics
/// If a part's schema is not that of an object, which is a mistake in the program.
pub fn merged(parts: impl IntoIterator<Item = RefOr<Schema>>) -> RefOr<Schema> {
    let mut whole = Object::new();
    for part in parts {
        let RefOr::T(Schema::Object(part)) = part else {
            panic!("a part is documented as something else than an object")
        };
        whole.properties.extend(part.properties);
        whole.required.extend(part.required);
    }
    whole.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    RefOr::T(Schema::Object(whole))
}

/// What a JSON value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use utoipa::ToSchema;

    use super::*;

    #[derive(Debug, Deserialize, ToSchema)]
    struct Own {
        prompt: String,
        #[serde(default)]
        #[allow(dead_code)]
        steps: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    struct Inner {
        #[allow(dead_code)]
        size: u32,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    struct Shared {
        temperature: Option<f32>,
    }

    fn read(text: &str) -> Result<(Own, Shared), Refusal> {
        let body = Parameters::default().with::<Own>().with::<Shared>().read(text.as_bytes())?;
        Ok((body.part()?, body.part()?))
    }

    #[test]
    fn each_part_reads_its_own_keys() {
        let (own, shared) = read(r#"{"prompt": "a", "temperature": 0.5}"#).unwrap();
        assert_eq!((own.prompt.as_str(), shared.temperature), ("a", Some(0.5)));
        assert_eq!(read(r#"{"prompt": "a", "temperature": null}"#).unwrap().1.temperature, None);
    }

    #[test]
    fn mistakes_are_named_by_their_path() {
        let refusal = read(r#"{"prompt": "a", "steps": [{"size": 1}, {"size": -1}]}"#).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("steps[1].size"));
        let refusal = read(r#"{"prompt": "a", "heat": 1}"#).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("heat"));
        assert!(refusal.message.contains("temperature"), "{refusal}");
        assert!(read("{}").unwrap_err().message.contains("prompt"));
        assert!(read("[]").unwrap_err().message.contains("a list"));
        assert!(read("{").unwrap_err().message.contains("not JSON"));
        assert!(read(&"[".repeat(100_000)).is_err());
    }
}
