//! Where `wootz serve` listens, and to whom: options.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wootz_serve::{ApiKeys, Hosts, Origins, ServeSettings};

use crate::failure::Failure;
use crate::size;

/// Where the server listens, and to whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Listening")]
pub struct ListeningOptions {
    /// Address to listen at; 0.0.0.0 and :: are all of this machine's
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen at; 0 takes a free one
    #[arg(long, short, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// A key that requests must carry (repeatable); under `--policy fair-share`, each key has an equal share. Other users
    /// of this machine can see it in the list of processes: --api-key-file hides it
    #[arg(long, value_name = "KEY")]
    api_key: Vec<String>,
    /// A file of keys, one a line; empty lines and lines that begin with # are left out
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,
    /// Let web pages of this origin ask (repeatable); * lets every page
    #[arg(long, value_name = "ORIGIN")]
    cors: Vec<String>,
    /// A name that this server answers to in the header Host, besides its own (repeatable); * lets every name. Without it,
    /// at a loopback address, only localhost and loopback addresses are answered, so that no web page gets in by a name of
    /// its own site
    #[arg(long, value_name = "NAME")]
    allowed_host: Vec<String>,
    /// The longest request body
    #[arg(long, value_name = "SIZE", default_value = "8M", value_parser = size::parse)]
    body_limit: u64,
    /// Seconds that a request's head, and then its body, may take to arrive
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    read_timeout: u64,
    /// Seconds after which a client that takes nothing of what is sent to it loses its connection
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    write_timeout: u64,
    /// Seconds that answers under way may go on after the first SIGINT or SIGTERM; 0 lets them end
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    drain_timeout: u64,
    /// Connections at a time; more wait
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,
}

impl ListeningOptions {
    /// What the server is told.
    pub fn settings(&self) -> Result<ServeSettings, Failure> {
        let read = Duration::from_secs(self.read_timeout);
        Ok(ServeSettings {
            address: SocketAddr::new(self.host, self.port),
            keys: self.keys()?,
            origins: self.origins()?,
            hosts: self.hosts()?,
            body_bytes: usize::try_from(self.body_limit).unwrap_or(usize::MAX),
            body_time: read,
            head_time: read,
            write_time: Duration::from_secs(self.write_timeout),
            drain_time: (self.drain_timeout > 0).then(|| Duration::from_secs(self.drain_timeout)),
            connections: self.connections as usize,
            ..ServeSettings::default()
        })
    }

    fn keys(&self) -> Result<ApiKeys, Failure> {
        if self.api_key.iter().any(|key| key.trim().is_empty()) {
            return Err(Failure::Usage("--api-key is empty; without the option, no key is needed".into()));
        }
        let file = match &self.api_key_file {
            None => String::new(),
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?
            }
        };
        let lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = ApiKeys::new(lines.chain(self.api_key.iter().map(|key| key.trim())));
        match &self.api_key_file {
            // An empty file must not open the server to everybody.
            Some(path) if keys.is_empty() => {
                Err(Failure::new(format!("{} has no key: one a line is expected", path.display())))
            }
            _ => Ok(keys),
        }
    }

    fn hosts(&self) -> Result<Hosts, Failure> {
        if self.allowed_host.is_empty() {
            return Ok(Hosts::Own);
        }
        if self.allowed_host.iter().any(|name| name == "*") {
            return Ok(Hosts::Any);
        }
        let parse = |name: &String| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            // Addresses of version 6 are written in brackets there.
            let name = if name.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{name}]") } else { name };
            let well = !name.is_empty() && wootz_serve::is_host_name(&name);
            let wrong =
                || Failure::Usage(format!("{name:?} is no host name, like box.example.org, without a port"));
            well.then(|| name.clone()).ok_or_else(wrong)
        };
        self.allowed_host.iter().map(parse).collect::<Result<_, _>>().map(Hosts::Listed)
    }

    fn origins(&self) -> Result<Origins, Failure> {
        if self.cors.is_empty() {
            return Ok(Origins::None);
        }
        if self.cors.iter().any(|origin| origin == "*") {
            return Ok(Origins::Any);
        }
        let parse = |origin: &String| {
            let wrong = || Failure::Usage(format!("{origin:?} is no origin, like https://example.org"));
            let well = origin.contains("://") && !origin.ends_with('/');
            origin.parse().ok().filter(|_| well).ok_or_else(wrong)
        };
        self.cors.iter().map(parse).collect::<Result<_, _>>().map(Origins::Listed)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: ListeningOptions,
    }

    fn parsed(arguments: &[&str]) -> ListeningOptions {
        Line::try_parse_from([&["serve"], arguments].concat()).unwrap().options
    }

    #[test]
    fn without_options_only_this_machine_can_ask() {
        let settings = parsed(&[]).settings().unwrap();
        assert_eq!(settings.address, "127.0.0.1:8080".parse().unwrap());
        assert!(settings.keys.is_empty() && settings.origins == Origins::None);
    }

    #[test]
    fn keys_come_from_options_and_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "# ours\n\n first \nsecond\n").unwrap();
        let file = path.display().to_string();
        let keys = parsed(&["--api-key", "third", "--api-key-file", &file]).settings().unwrap().keys;
        assert!(["first", "second", "third"].iter().all(|key| keys.tenant(key).is_some()));
        assert!(keys.tenant("# ours").is_none());
        std::fs::write(&path, "# none\n").unwrap();
        assert!(parsed(&["--api-key-file", &file]).settings().is_err());
        assert!(parsed(&["--api-key", " "]).settings().is_err());
    }

    #[test]
    fn a_host_has_no_port() {
        let hosts = |name: &str| parsed(&["--allowed-host", name]).hosts();
        assert_eq!(parsed(&[]).hosts().unwrap(), Hosts::Own);
        assert_eq!(hosts("*").unwrap(), Hosts::Any);
        assert_eq!(hosts("Box.Example.").unwrap(), Hosts::Listed(vec!["box.example".into()]));
        assert_eq!(hosts("2001:db8::1").unwrap(), Hosts::Listed(vec!["[2001:db8::1]".into()]));
        for wrong in ["", "box:8080", "http://box", "a b", "box/", "me@box", "."] {
            assert!(hosts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn clients_and_drains_have_their_time() {
        let settings = parsed(&["--write-timeout", "5", "--drain-timeout", "0"]).settings().unwrap();
        assert_eq!((settings.write_time, settings.drain_time), (Duration::from_secs(5), None));
        let settings = parsed(&["--drain-timeout", "7"]).settings().unwrap();
        assert_eq!(settings.drain_time, Some(Duration::from_secs(7)));
    }

    #[test]
    fn an_origin_has_a_scheme_and_no_path() {
        let origins = |origin: &str| parsed(&["--cors", origin]).origins();
        assert_eq!(origins("*").unwrap(), Origins::Any);
        assert!(matches!(origins("https://example.org").unwrap(), Origins::Listed(list) if list.len() == 1));
        assert!(origins("example.org").is_err() && origins("https://example.org/").is_err());
    }
}
