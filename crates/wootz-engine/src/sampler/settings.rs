//! Whether what a user asks of the sampler makes sense.

use wootz_backend::sampling::{PenaltyWindow, SamplingSettings};

use crate::EngineError;

/// Whether every value is in its range, and every biased token in a vocabulary of `vocab` tokens.
pub fn validate(settings: &SamplingSettings, vocab: usize) -> Result<(), EngineError> {
    let positive = |x: f32| x > 0.0 && x.is_finite();
    let share = |x: f32| x > 0.0 && x <= 1.0;
    let ranges = [
        (
            "repetition-penalty",
            settings.repetition_penalty,
            positive(settings.repetition_penalty),
            "greater than 0",
        ),
        (
            "frequency-penalty",
            settings.frequency_penalty,
            settings.frequency_penalty.is_finite(),
            "a finite number",
        ),
        (
            "presence-penalty",
            settings.presence_penalty,
            settings.presence_penalty.is_finite(),
            "a finite number",
        ),
        (
            "typical-p",
            settings.typical_p,
            share(settings.typical_p),
            "greater than 0 and at most 1 (1 = off)",
        ),
        ("top-p", settings.top_p, share(settings.top_p), "greater than 0 and at most 1 (1 = off)"),
        ("min-p", settings.min_p, (0.0..=1.0).contains(&settings.min_p), "from 0 (off) to 1"),
        (
            "temperature",
            settings.temperature,
            settings.temperature >= 0.0 && settings.temperature.is_finite(),
            "0 (greedy) or greater",
        ),
    ];
    for (setting, found, ok, allowed) in ranges {
        if !ok {
            return Err(EngineError::Setting { setting, found: found.to_string(), allowed });
        }
    }
    for &(token, bias) in &settings.logit_bias {
        if bias.is_nan() || bias == f32::INFINITY {
            let allowed = "a finite number, or -inf to forbid the token";
            return Err(EngineError::Setting { setting: "logit-bias", found: bias.to_string(), allowed });
        }
        if token as usize >= vocab {
            return Err(EngineError::TokenOutsideVocabulary { token, vocab });
        }
    }
    Ok(())
}

/// Whether the logits must be changed before the filters.
pub(super) fn changes_logits(settings: &SamplingSettings) -> bool {
    !settings.logit_bias.is_empty() || penalises(settings)
}

/// Whether any penalty is on.
pub(super) fn penalises(settings: &SamplingSettings) -> bool {
    settings.penalty_window != PenaltyWindow::Last(0)
        && (settings.repetition_penalty != 1.0
            || settings.frequency_penalty != 0.0
            || settings.presence_penalty != 0.0)
}
