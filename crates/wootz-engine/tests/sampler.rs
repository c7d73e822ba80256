//! The sampler against Transformers' logits processors (`scripts/fixtures/sampler.py`), and its draws against chance.

use proptest::prelude::*;
use serde_json::Value;
use wootz_engine::{EngineError, Logprobs, PenaltyWindow, Place, Sampler, SamplingSettings};

const VOCAB: usize = 300;

fn number(value: &Value, otherwise: f32) -> f32 {
    value.as_f64().map_or(otherwise, |x| x as f32)
}

fn settings(case: &Value) -> SamplingSettings {
    let given = &case["settings"];
    let bias = given["logit_bias"].as_array().into_iter().flatten();
    SamplingSettings {
        logit_bias: bias.map(|b| (b[0].as_u64().unwrap() as u32, number(&b[1], f32::NEG_INFINITY))).collect(),
        repetition_penalty: number(&given["repetition_penalty"], 1.0),
        frequency_penalty: number(&given["frequency_penalty"], 0.0),
        presence_penalty: number(&given["presence_penalty"], 0.0),
        penalty_window: match given["window"].as_u64() {
            Some(count) => PenaltyWindow::Last(count as usize),
            None => PenaltyWindow::Whole,
        },
        top_k: given["top_k"].as_u64().unwrap_or(0) as usize,
        typical_p: number(&given["typical_p"], 1.0),
        top_p: number(&given["top_p"], 1.0),
        min_p: number(&given["min_p"], 0.0),
        temperature: number(&given["temperature"], 1.0),
        seed: 1,
    }
}

#[test]
fn the_filtered_distributions_are_those_of_transformers() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/sampler.json")).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    for case in cases {
        let input = &fixture["inputs"][case["input"].as_str().unwrap()];
        let logits: Vec<f32> =
            input["logits"].as_array().unwrap().iter().map(|x| number(x, f32::NEG_INFINITY)).collect();
        let context: Vec<u32> =
            input["context"].as_array().unwrap().iter().map(|t| t.as_u64().unwrap() as u32).collect();
        let mut sampler = Sampler::new(settings(case), Logprobs::None, VOCAB).unwrap();
        let mut found =
            sampler.distribution(&logits, Place { context: &context, ..Place::default() }).unwrap();
        let name = format!("{} {}", case["input"], case["settings"]);
        assert_eq!(found.len() as u64, case["count"].as_u64().unwrap(), "{name}");
        let id_sum: u64 = found.iter().map(|(token, _)| u64::from(*token)).sum();
        assert_eq!(id_sum, case["id_sum"].as_u64().unwrap(), "{name}");
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for (index, expected) in case["likeliest"].as_array().unwrap().iter().enumerate() {
            let (token, probability) = (expected[0].as_u64().unwrap() as u32, expected[1].as_f64().unwrap());
            let ours = found.iter().find(|(ours, _)| *ours == token).map(|(_, p)| *p).unwrap();
            assert!((ours - probability).abs() <= 2e-5 * probability + 1e-9, "{name}: {ours} {probability}");
            assert!((found[index].1 - probability).abs() <= 2e-5 * probability + 1e-9, "{name}");
        }
    }
}

/// Draws agree with the distribution: Pearson's chi-square over 10 000 draws of a fixed seed.
fn assert_fair(settings: SamplingSettings, logits: &[f32]) {
    const DRAWS: u64 = 10_000;
    let mut sampler = Sampler::new(settings, Logprobs::None, logits.len()).unwrap();
    let expected = sampler.distribution(logits, Place::default()).unwrap();
    let mut counts = vec![0u64; logits.len()];
    for draw in 0..DRAWS {
        counts[sampler.sample(logits, Place { draw, ..Place::default() }).unwrap().token as usize] += 1;
    }
    let (mut statistic, mut cells, mut rest) = (0.0, 0, (0.0, 0.0));
    for (token, probability) in &expected {
        let (wanted, found) = (probability * DRAWS as f64, counts[*token as usize] as f64);
        if wanted >= 5.0 {
            statistic += (found - wanted).powi(2) / wanted;
            cells += 1;
        } else {
            rest = (rest.0 + wanted, rest.1 + found);
        }
        counts[*token as usize] = 0;
    }
    if rest.0 >= 5.0 {
        statistic += (rest.1 - rest.0).powi(2) / rest.0;
        cells += 1;
    }
    assert!(counts.iter().all(|&count| count == 0), "a token outside the distribution was drawn");
    // Mean cells - 1, standard deviation sqrt(2 (cells - 1)): four deviations is far beyond 0.1%.
    let freedom = f64::from(cells - 1);
    assert!(statistic < freedom + 4.0 * (2.0 * freedom).sqrt() + 4.0, "chi-square {statistic} at {freedom}");
}

#[test]
fn draws_follow_the_distribution() {
    let logits: Vec<f32> = (0..VOCAB).map(|i| ((i * 37 % 101) as f32 / 101.0 - 0.5) * 8.0).collect();
    for seed in [1, 99] {
        assert_fair(SamplingSettings { seed, ..SamplingSettings::plain(1.0) }, &logits);
        assert_fair(SamplingSettings { seed, top_k: 12, ..SamplingSettings::plain(0.7) }, &logits);
        assert_fair(SamplingSettings { seed, top_p: 0.8, ..SamplingSettings::plain(1.5) }, &logits);
        assert_fair(
            SamplingSettings { seed, min_p: 0.1, typical_p: 0.9, ..SamplingSettings::plain(1.0) },
            &logits,
        );
    }
}

#[test]
fn greedy_takes_the_lowest_of_equals_and_broken_logits_are_errors() {
    let mut greedy = Sampler::new(SamplingSettings::greedy(), Logprobs::Top(2), 4).unwrap();
    let place = Place::default();
    let sampled = greedy.sample(&[1.0, 3.0, 3.0, -1.0], place).unwrap();
    assert_eq!(sampled.token, 1);
    let logprobs = sampled.logprobs.unwrap();
    assert_eq!(logprobs.top.iter().map(|t| t.token).collect::<Vec<_>>(), [1, 2]);
    let sum: f32 = [1.0f32, 3.0, 3.0, -1.0].iter().map(|x| x.exp()).sum();
    assert!((logprobs.chosen - (3.0 - sum.ln())).abs() < 1e-6);
    let nan = greedy.sample(&[1.0, f32::NAN, 0.0, 0.0], place);
    assert!(matches!(nan, Err(EngineError::BrokenLogit { token: 1, .. })));
    assert!(matches!(
        greedy.sample(&[f32::INFINITY, 0.0, 0.0, 0.0], place),
        Err(EngineError::BrokenLogit { .. })
    ));
    assert!(matches!(greedy.sample(&[f32::NEG_INFINITY; 4], place), Err(EngineError::NoTokenLeft)));
}

#[test]
fn settings_outside_their_range_are_refused_by_name() {
    let refused = |settings: SamplingSettings, name: &str| {
        let error = Sampler::new(settings, Logprobs::None, 10).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    };
    let plain = || SamplingSettings::plain(1.0);
    refused(SamplingSettings { temperature: -1.0, ..plain() }, "temperature is -1");
    refused(SamplingSettings { temperature: f32::NAN, ..plain() }, "temperature is NaN");
    refused(SamplingSettings { top_p: 0.0, ..plain() }, "top-p is 0");
    refused(SamplingSettings { min_p: 1.5, ..plain() }, "min-p is 1.5");
    refused(SamplingSettings { typical_p: 0.0, ..plain() }, "typical-p is 0");
    refused(SamplingSettings { repetition_penalty: 0.0, ..plain() }, "repetition-penalty is 0");
    refused(SamplingSettings { logit_bias: vec![(10, 1.0)], ..plain() }, "token id 10 is outside");
}

proptest! {
    #[test]
    fn what_is_drawn_is_possible_and_repeatable(
        logits in prop::collection::vec(prop_oneof![8 => -20f32..20.0, 1 => Just(f32::NEG_INFINITY)], 1..400),
        (top_k, top_p, min_p, typical_p) in (0usize..500, 0.01f32..=1.0, 0f32..=1.0, 0.01f32..=1.0),
        (temperature, seed, draw) in (0f32..3.0, any::<u64>(), any::<u64>()),
        context in prop::collection::vec(0u32..400, 0..20),
    ) {
        prop_assume!(logits.iter().any(|l| l.is_finite()));
        let settings = SamplingSettings {
            top_k, top_p, min_p, typical_p, temperature, seed, repetition_penalty: 1.1, presence_penalty: 0.5,
            ..SamplingSettings::greedy()
        };
        let mut sampler = Sampler::new(settings.clone(), Logprobs::None, logits.len()).unwrap();
        let place = Place { context: &context, draw, allowed: None };
        let first = sampler.sample(&logits, place).unwrap().token;
        prop_assert!(logits[first as usize].is_finite());
        let distribution = sampler.distribution(&logits, Place { context: &context, ..Place::default() }).unwrap();
        prop_assert!(distribution.iter().any(|(token, _)| *token == first));
        prop_assert!((distribution.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-9);
        if top_k > 0 {
            prop_assert!(distribution.len() <= top_k.max(1));
        }
        // A fresh sampler, and one that has drawn other things before, choose the same.
        sampler.sample(&logits, Place { draw: 3, ..Place::default() }).unwrap();
        let mut fresh = Sampler::new(settings, Logprobs::None, logits.len()).unwrap();
        prop_assert_eq!(sampler.sample(&logits, place).unwrap().token, first);
        prop_assert_eq!(fresh.sample(&logits, place).unwrap().token, first);
    }
}
