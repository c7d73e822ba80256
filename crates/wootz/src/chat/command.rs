//! Commands of the chat: lines that begin with a slash.

/// What `/help` shows.
pub const HELP: &str = "  /set                 list the settings
  /set NAME VALUE      change one: temperature, top-k, top-p, min-p, typical-p, repetition-penalty,
                       frequency-penalty, presence-penalty, penalty-window, logit-bias, seed, max-tokens, stop
  /system              show the system message
  /system TEXT         set it (\"none\" removes it)
  /clear               begin the conversation anew; settings and system message stay
  /save FILE           write the conversation as JSON
  /load FILE           go on with a saved one
  /exit, Ctrl-D        leave
  Ctrl-C               stop the answer
  \"\"\"                  begins and ends a text of several lines; so does a backslash at a line's end
";

/// The names of the commands, for completion.
pub const NAMES: [&str; 7] = ["/help", "/set", "/system", "/clear", "/save", "/load", "/exit"];

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ChatCommand {
    Help,
    ShowSettings,
    Set { name: String, value: String },
    ShowSystem,
    System(String),
    Clear,
    Save(String),
    Load(String),
    Exit,
}

impl ChatCommand {
    /// The command in a line; `None` for a line that is no command, an error for one that does not exist.
    pub fn parse(line: &str) -> Option<Result<Self, String>> {
        let line = line.trim();
        if !line.starts_with('/') || line.starts_with("//") {
            return None;
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let file = |make: fn(String) -> Self| match rest {
            "" => Err(format!("{name} needs a file: {name} chat.json")),
            _ => Ok(make(rest.to_string())),
        };
        let alone = |command: Self| match rest {
            "" => Ok(command),
            _ => Err(format!("{name} stands alone, but {rest:?} follows it")),
        };
        Some(match name {
            "/help" | "/?" => alone(ChatCommand::Help),
            "/clear" => alone(ChatCommand::Clear),
            "/exit" | "/quit" | "/bye" => alone(ChatCommand::Exit),
            "/save" => file(ChatCommand::Save),
            "/load" => file(ChatCommand::Load),
            "/system" if rest.is_empty() => Ok(ChatCommand::ShowSystem),
            "/system" => Ok(ChatCommand::System(super::multiline::unwrap(rest))),
            "/set" if rest.is_empty() => Ok(ChatCommand::ShowSettings),
            "/set" => match rest.split_once(char::is_whitespace) {
                Some((name, value)) => {
                    Ok(ChatCommand::Set { name: name.to_string(), value: value.trim().to_string() })
                }
                None => Err(format!("/set {rest} needs a value; /set alone lists the settings")),
            },
            _ => Err(format!("there is no command {name}; there are {}", NAMES.join(" "))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_commands() {
        let parsed = |line: &str| ChatCommand::parse(line);
        assert_eq!(parsed("hello /help"), None);
        assert_eq!(parsed("// a comment in some language"), None);
        assert_eq!(parsed(" /help "), Some(Ok(ChatCommand::Help)));
        assert_eq!(parsed("/quit"), Some(Ok(ChatCommand::Exit)));
        assert_eq!(
            parsed("/set  stop  two words"),
            Some(Ok(ChatCommand::Set { name: "stop".into(), value: "two words".into() }))
        );
        assert_eq!(parsed("/system Be brief."), Some(Ok(ChatCommand::System("Be brief.".into()))));
        assert!(parsed("/set top-k").unwrap().unwrap_err().contains("needs a value"));
        assert!(parsed("/save").unwrap().unwrap_err().contains("needs a file"));
        assert!(parsed("/clear all").unwrap().unwrap_err().contains("stands alone"));
        assert!(parsed("/dance").unwrap().unwrap_err().contains("/help /set"));
    }
}
