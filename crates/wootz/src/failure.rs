//! Why a command ended without success, and what to do next.

use std::io;
use std::process::ExitCode;

use wootz_backend::BackendError;
use wootz_engine::EngineError;
use wootz_gpu::DeviceError;
use wootz_serve::ServeError;
use wootz_serve::chat::ChatModelError;
use wootz_spec::SpecError;
use wootz_weights::WeightsError;
use wootz_weights::chat_template::TemplateError;
use wootz_weights::tokenizer::TokenizerError;

use crate::terminal;

/// The end of a command that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments ask for something that is not possible: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Something went wrong: exit code 1.
    #[error("{what}")]
    Failed {
        /// What.
        what: String,
        /// What the user can do about it.
        next: Option<String>,
    },
    /// Whoever read the output has gone away, which is their right: exit code 0.
    #[error("the output was closed")]
    OutputClosed,
    /// Ctrl-C: exit code 130, as shells expect.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// A failure with nothing to advise.
    pub fn new(what: impl Into<String>) -> Self {
        Failure::Failed { what: what.into(), next: None }
    }

    /// A failure and the next step.
    pub fn with_next(what: impl Into<String>, next: impl Into<String>) -> Self {
        Failure::Failed { what: what.into(), next: Some(next.into()) }
    }

    /// A file that cannot be read or written.
    pub fn file(action: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Failure::new(format!("cannot {action} {}: {error}", path.display()))
    }

    /// Prints it and gives the exit code.
    pub fn report(&self) -> ExitCode {
        match self {
            Failure::Usage(what) => {
                terminal::error(what);
                ExitCode::from(2)
            }
            Failure::Failed { what, next } => {
                terminal::error(what);
                if let Some(next) = next {
                    terminal::note(next);
                }
                ExitCode::FAILURE
            }
            Failure::OutputClosed => ExitCode::SUCCESS,
            Failure::Interrupted => ExitCode::from(130),
        }
    }
}

impl From<io::Error> for Failure {
    /// An error of writing the output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::new(format!("cannot write the output: {error}")),
        }
    }
}

impl From<WeightsError> for Failure {
    fn from(error: WeightsError) -> Self {
        Failure::new(error.to_string())
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Failure::with_next(error.to_string(), "--device cpu runs a model on the processor")
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        Failure::new(error.to_string())
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        Failure::with_next(error.to_string(), "--raw passes the prompt to the model without a template")
    }
}

impl From<TokenizerError> for Failure {
    fn from(error: TokenizerError) -> Self {
        Failure::new(error.to_string())
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Failure::new(error.to_string())
    }
}

impl From<ChatModelError> for Failure {
    fn from(error: ChatModelError) -> Self {
        Failure::new(error.to_string())
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Bind { .. } => Failure::with_next(
                error.to_string(),
                "--port N listens at another port, --port 0 at a free one",
            ),
            ServeError::Signals(_) => Failure::new(error.to_string()),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Setting { .. } | EngineError::TokenOutsideVocabulary { .. } => {
                Failure::Usage(error.to_string())
            }
            EngineError::ContextFull { .. } => Failure::with_next(
                error.to_string(),
                "--context N sets aside a longer context, up to what the model was made for; in a chat, /clear begins anew",
            ),
            _ => Failure::new(error.to_string()),
        }
    }
}
