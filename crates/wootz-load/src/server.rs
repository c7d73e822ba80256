//! Where a server is, and what kind it is.

use std::str::FromStr;

use reqwest::Url;
use serde::Serialize;

use crate::error::LoadError;

/// A server's name and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name in reports.
    pub name: String,
    /// Its root: paths like `/v1/models` follow it.
    pub address: Url,
}

impl FromStr for Target {
    type Err = LoadError;

    /// `http://HOST:PORT`, or with a name before it: `wootz=http://HOST:PORT`. A path `/v1` at the end is understood.
    fn from_str(text: &str) -> Result<Self, LoadError> {
        let wrong = |why: &str| LoadError::Address { address: text.into(), why: why.into() };
        let (name, address) = match text.split_once('=') {
            Some((name, address)) if !name.contains("://") => (Some(name), address),
            _ => (None, text),
        };
        let mut url = Url::parse(address).map_err(|error| wrong(&error.to_string()))?;
        match url.scheme() {
            "http" => {}
            "https" => return Err(LoadError::Https(text.into())),
            other => return Err(wrong(&format!("its scheme is {other}"))),
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("nothing can follow its path"));
        }
        if name.is_some_and(str::is_empty) {
            return Err(wrong("the name before = is empty"));
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path).to_string();
        url.set_path(&path);
        let host = url.host_str().unwrap_or_default();
        let place = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        Ok(Self { name: name.map_or(place, str::to_string), address: url })
    }
}

impl Target {
    /// The address of a path, which begins with a slash.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.address.clone();
        url.set_path(&format!("{}{path}", self.address.path().trim_end_matches('/')));
        url
    }
}

/// The kinds of server that know more than OpenAI's API, told by `owned_by` in their list of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Wootz.
    Wootz,
    /// llama.cpp's llama-server.
    LlamaServer,
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// Any other.
    Other,
}

impl Kind {
    /// From `owned_by`.
    pub fn from_owner(owner: &str) -> Self {
        match owner {
            "wootz" => Kind::Wootz,
            "llamacpp" => Kind::LlamaServer,
            "vllm" => Kind::Vllm,
            "sglang" => Kind::Sglang,
            _ => Kind::Other,
        }
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Wootz => "Wootz",
            Kind::LlamaServer => "llama-server",
            Kind::Vllm => "vLLM",
            Kind::Sglang => "SGLang",
            Kind::Other => "of an unknown kind",
        }
    }

    /// Whether it can be told to go on after an end token.
    pub fn ignores_end(self) -> bool {
        self != Kind::Other
    }

    /// Whether it gives running counts of tokens in `usage` if asked with `continuous_usage_stats`.
    pub fn counts_in_usage(self) -> bool {
        matches!(self, Kind::Wootz | Kind::Vllm | Kind::Sglang)
    }

    /// Whether it gives running counts of tokens in `timings` if asked with `timings_per_token`.
    pub fn counts_in_timings(self) -> bool {
        self == Kind::LlamaServer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_names() {
        let target: Target = "http://127.0.0.1:8080/v1/".parse().unwrap();
        assert_eq!(
            (target.name.as_str(), target.at("/v1/models").as_str()),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/v1/models")
        );
        let named: Target = "peer=http://localhost:9/base".parse().unwrap();
        assert_eq!(
            (named.name.as_str(), named.at("/metrics").as_str()),
            ("peer", "http://localhost:9/base/metrics")
        );
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        let error = |text: &str| text.parse::<Target>().unwrap_err().to_string();
        assert!(error("https://localhost").contains("https is not supported, only http"));
        assert!(error("ftp://localhost").contains("scheme is ftp"));
        assert!(error("localhost:80").contains("http://HOST:PORT"));
        assert!(error("=http://localhost").contains("name before ="));
        assert!(error("http://localhost?x").contains("follow its path"));
    }
}
