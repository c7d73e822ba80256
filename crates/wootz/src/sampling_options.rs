//! The sampling options: as flags, and by name in a chat.

use clap::Args;
use wootz_engine::{PenaltyWindow, SamplingSettings, validate};

/// How tokens are chosen.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingOptions {
    /// Flattens (above 1) or sharpens (below 1) the distribution; 0 always takes the most likely token
    #[arg(long, visible_alias = "temp", value_name = "T", default_value_t = 0.8)]
    temperature: f32,
    /// Keep the K most likely tokens; 0 = off
    #[arg(long, value_name = "K", default_value_t = 40)]
    top_k: usize,
    /// Keep the most likely tokens up to this share of probability; 1 = off
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    top_p: f32,
    /// Keep tokens at least this many times as likely as the most likely one; 0 = off
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    min_p: f32,
    /// Keep tokens whose surprise is nearest to the expected one, up to this share; 1 = off
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    typical_p: f32,
    /// Make tokens of the penalty window less likely by this factor; 1 = off
    #[arg(long, visible_alias = "repeat-penalty", value_name = "F", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Subtract this from a token's logit for each time that it was used; 0 = off
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// Subtract this from the logit of a token that was used; 0 = off
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// How many of the last tokens the penalties look at, or "all"
    #[arg(long, visible_alias = "repeat-last-n", value_name = "N|all", default_value = "64", value_parser = window)]
    penalty_window: PenaltyWindow,
    /// Add X to the logit of token ID (repeatable); -inf forbids it. `wootz tokenize` shows ids
    #[arg(long, value_name = "ID=X", value_parser = bias)]
    logit_bias: Vec<(u32, f32)>,
    /// The same seed, prompt and options give the same answer; without it, each run differs
    #[arg(long, short, value_name = "N")]
    seed: Option<u64>,
}

impl SamplingOptions {
    /// The seed, if one was given.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// The settings; a seed that was not given is drawn.
    pub fn settings(self) -> SamplingSettings {
        SamplingSettings {
            logit_bias: self.logit_bias,
            repetition_penalty: self.repetition_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            penalty_window: self.penalty_window,
            top_k: self.top_k,
            typical_p: self.typical_p,
            top_p: self.top_p,
            min_p: self.min_p,
            temperature: self.temperature,
            seed: self.seed.unwrap_or_else(fresh_seed),
        }
    }
}

/// A seed that differs from run to run; small enough to be typed again.
pub fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library keys its hash maps from the system's randomness.
    std::collections::hash_map::RandomState::new().build_hasher().finish() >> 32
}

/// The names that [`set`] knows, in the order of listing.
pub const NAMES: [&str; 10] = [
    "temperature",
    "top-k",
    "top-p",
    "min-p",
    "typical-p",
    "repetition-penalty",
    "frequency-penalty",
    "presence-penalty",
    "penalty-window",
    "logit-bias",
];

/// The names of what a chat can set besides.
pub const CHAT_NAMES: [&str; 3] = ["seed", "max-tokens", "stop"];

/// The value of a setting, as [`set`] would take it.
pub fn show(settings: &SamplingSettings, name: &str) -> String {
    match name {
        "temperature" => settings.temperature.to_string(),
        "top-k" => settings.top_k.to_string(),
        "top-p" => settings.top_p.to_string(),
        "min-p" => settings.min_p.to_string(),
        "typical-p" => settings.typical_p.to_string(),
        "repetition-penalty" => settings.repetition_penalty.to_string(),
        "frequency-penalty" => settings.frequency_penalty.to_string(),
        "presence-penalty" => settings.presence_penalty.to_string(),
        "penalty-window" => match settings.penalty_window {
            PenaltyWindow::Last(count) => count.to_string(),
            PenaltyWindow::Whole => "all".into(),
        },
        "logit-bias" if settings.logit_bias.is_empty() => "none".into(),
        _ => {
            let pairs: Vec<String> = settings.logit_bias.iter().map(|(id, x)| format!("{id}={x}")).collect();
            pairs.join(" ")
        }
    }
}

/// Changes one setting by its name; says what is possible when it is not. Ranges are checked against the model by
/// [`validate`], before anything is changed.
pub fn set(settings: &mut SamplingSettings, vocab: usize, name: &str, value: &str) -> Result<(), String> {
    let mut changed = settings.clone();
    match name {
        "temperature" => changed.temperature = number(value)?,
        "top-k" => changed.top_k = number(value)?,
        "top-p" => changed.top_p = number(value)?,
        "min-p" => changed.min_p = number(value)?,
        "typical-p" => changed.typical_p = number(value)?,
        "repetition-penalty" => changed.repetition_penalty = number(value)?,
        "frequency-penalty" => changed.frequency_penalty = number(value)?,
        "presence-penalty" => changed.presence_penalty = number(value)?,
        "penalty-window" => changed.penalty_window = window(value)?,
        "logit-bias" if value == "none" => changed.logit_bias.clear(),
        "logit-bias" => changed.logit_bias = value.split_whitespace().map(bias).collect::<Result<_, _>>()?,
        _ => {
            let others = CHAT_NAMES.join(", ");
            return Err(format!("there is no setting {name}; there are {}, {others}", NAMES.join(", ")));
        }
    }
    validate(&changed, vocab).map_err(|error| error.to_string())?;
    *settings = changed;
    Ok(())
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|error| format!("{value:?} does not fit here: {error}"))
}

fn window(value: &str) -> Result<PenaltyWindow, String> {
    match value {
        "all" => Ok(PenaltyWindow::Whole),
        _ => value
            .parse()
            .map(PenaltyWindow::Last)
            .map_err(|_| format!("{value:?} is neither a count nor \"all\"")),
    }
}

fn bias(value: &str) -> Result<(u32, f32), String> {
    let parsed = value.split_once('=').and_then(|(id, x)| Some((id.parse().ok()?, x.parse().ok()?)));
    parsed.ok_or_else(|| format!("{value:?} is not of the form ID=X, like 1234=-5 or 1234=-inf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_can_be_shown_and_set_to_what_is_shown() {
        let mut settings =
            SamplingSettings { logit_bias: vec![(3, -1.5), (4, f32::NEG_INFINITY)], ..Default::default() };
        let before = settings.clone();
        for name in NAMES {
            let shown = show(&settings, name);
            set(&mut settings, 10, name, &shown).unwrap();
        }
        assert_eq!(settings, before);
    }

    #[test]
    fn a_wrong_value_changes_nothing_and_is_explained() {
        let mut settings = SamplingSettings::default();
        for (name, value, says) in [
            ("temperature", "hot", "\"hot\" does not fit"),
            ("temperature", "-1", "temperature is -1"),
            ("top-p", "2", "top-p is 2"),
            ("penalty-window", "some", "neither a count"),
            ("logit-bias", "5", "ID=X"),
            ("logit-bias", "99=1", "token id 99 is outside"),
            ("colour", "red", "there is no setting colour; there are temperature"),
        ] {
            let error = set(&mut settings, 10, name, value).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(settings, SamplingSettings::default());
    }
}
