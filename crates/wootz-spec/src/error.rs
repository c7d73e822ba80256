//! Why a configuration is not a model that this program runs.

/// What is wrong with a configuration: the field, what was found there, and what is possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The whole is not a JSON object.
    #[error("the model's configuration is {found}, and has to be a JSON object")]
    NotAnObject {
        /// What it is.
        found: String,
    },
    /// A field without which the model has no shape.
    #[error("the model's configuration has no {field}")]
    Missing {
        /// Its name, with dots for nesting.
        field: String,
    },
    /// A value that can't be.
    #[error("the model's configuration has {field} = {found}, which has to be {expected}")]
    Invalid {
        /// Its name, with dots for nesting.
        field: String,
        /// The value, shortened.
        found: String,
        /// What it has to be.
        expected: String,
    },
    /// A value that means something, which this program does not do.
    #[error(
        "the model's configuration has {field} = {found}, which is not supported; supported: {supported}"
    )]
    Unsupported {
        /// Its name, with dots for nesting.
        field: String,
        /// The value, shortened.
        found: String,
        /// The values that are supported.
        supported: String,
    },
}

impl SpecError {
    pub(crate) fn invalid(field: &str, found: impl ToString, expected: impl ToString) -> SpecError {
        SpecError::Invalid {
            field: field.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    pub(crate) fn unsupported(field: &str, found: impl ToString, supported: impl ToString) -> SpecError {
        SpecError::Unsupported {
            field: field.to_owned(),
            found: found.to_string(),
            supported: supported.to_string(),
        }
    }
}
