//! Reasoning budgets and grammars, token by token; and masks with every setting of the sampler.

use proptest::prelude::*;
use wootz_engine::{
    AnswerGuide, EngineError, Followed, Guide, Logprobs, MaskWorker, Place, ReasoningGuide, Sampler,
    SamplingSettings,
};
use wootz_grammar::{
    Grammar, GrammarCompiler, GrammarError, GrammarSource, TokenMask, TokenText, Vocabulary,
};

/// Tokens 0 to 255 are the bytes; then the end, the marks of reasoning, and three padding rows.
const END: u32 = 256;
const THINK: u32 = 257;
const DONE: u32 = 258;
const WIDTH: usize = 262;

fn grammar(regex: &str) -> Grammar {
    let byte = |byte: u8| TokenText { bytes: vec![byte], special: false };
    let mark = |name: &str| TokenText { bytes: name.as_bytes().to_vec(), special: true };
    let tokens = (0..=255).map(byte).chain([mark("<|end|>"), mark("<think>"), mark("</think>")]);
    let compiler = GrammarCompiler::new(Vocabulary::new(tokens, &[END]).unwrap()).unwrap();
    compiler.compile(&GrammarSource::Regex(regex.to_owned())).unwrap()
}

fn reasoning(opened: bool, budget: Option<usize>) -> Option<ReasoningGuide> {
    let marks = ReasoningGuide { opened, begins: vec![THINK], ends: vec![DONE], ..ReasoningGuide::default() };
    Some(ReasoningGuide { budget, ..marks })
}

fn new(guide: Guide) -> AnswerGuide {
    AnswerGuide::new(guide, &[END], WIDTH)
}

fn allowed(guide: &mut AnswerGuide) -> Option<Vec<u32>> {
    guide.allowed().unwrap().map(|mask| mask.tokens().collect())
}

fn byte(text: &str) -> u32 {
    u32::from(text.as_bytes()[0])
}

#[test]
fn a_free_answer_needs_no_mask() {
    let mut free = new(Guide::default());
    assert!(free.is_free());
    assert_eq!(allowed(&mut free), None);
    assert_eq!(free.observe(5).unwrap(), Followed::Continues);
    let mut counted = new(Guide { reasoning: reasoning(false, None), grammar: None });
    assert!(counted.is_free());
    for token in [1, THINK, 2, 3, DONE, 4, THINK, 5, DONE, 6] {
        counted.observe(token).unwrap();
    }
    assert_eq!(counted.reasoning_tokens().unwrap(), 3);
}

#[test]
fn a_spent_budget_writes_the_closing_mark() {
    let marks = ReasoningGuide {
        opened: true,
        begins: vec![],
        ends: vec![7, 7, 8],
        budget: Some(3),
        ..ReasoningGuide::default()
    };
    let mut guide = new(Guide { reasoning: Some(marks), grammar: None });
    assert!(!guide.is_free());
    // 7 may begin the mark: it counts as reasoning only when the mark does not go on.
    for token in [1, 7, 2] {
        assert_eq!(allowed(&mut guide), None);
        guide.observe(token).unwrap();
    }
    assert_eq!(guide.reasoning_tokens().unwrap(), 3);
    for token in [7, 7, 8] {
        assert_eq!(allowed(&mut guide), Some(vec![token]));
        guide.observe(token).unwrap();
    }
    assert_eq!(allowed(&mut guide), None);
    guide.observe(1).unwrap();
    assert_eq!(guide.reasoning_tokens().unwrap(), 3);
}

#[test]
fn what_closes_a_section_may_lead_on_to_the_answer() {
    let marks = ReasoningGuide { closing: vec![9, DONE, 9], ..reasoning(true, Some(1)).unwrap() };
    let mut guide = new(Guide { reasoning: Some(marks), grammar: Some(grammar("a")) });
    guide.observe(5).unwrap();
    for token in [9, DONE, 9, byte("a")] {
        assert_eq!(allowed(&mut guide), Some(vec![token]));
        guide.observe(token).unwrap();
    }
    assert_eq!(guide.reasoning_tokens().unwrap(), 1);
}

#[test]
fn no_budget_at_all_closes_at_once() {
    let mut guide = new(Guide { reasoning: reasoning(true, Some(0)), grammar: Some(grammar("a")) });
    assert_eq!(allowed(&mut guide), Some(vec![DONE]));
    guide.observe(DONE).unwrap();
    assert_eq!(allowed(&mut guide), Some(vec![byte("a")]));
    assert_eq!(guide.observe(byte("a")).unwrap(), Followed::Complete);
    let mut closed = new(Guide { reasoning: reasoning(false, Some(0)), grammar: None });
    closed.observe(THINK).unwrap();
    assert_eq!(allowed(&mut closed), Some(vec![DONE]));
}

#[test]
fn the_grammar_begins_after_the_reasoning() {
    let mut guide = new(Guide { reasoning: reasoning(true, None), grammar: Some(grammar("ab?")) });
    let inside = allowed(&mut guide).unwrap();
    assert_eq!(inside.len(), WIDTH - 1, "all but the end");
    assert!(!inside.contains(&END));
    for token in [byte("x"), byte("a"), DONE] {
        guide.observe(token).unwrap();
    }
    assert_eq!(allowed(&mut guide), Some(vec![byte("a")]));
    assert_eq!(guide.observe(byte("a")).unwrap(), Followed::Continues);
    assert_eq!(allowed(&mut guide), Some(vec![byte("b"), END]));
    let refused = guide.observe(byte("c")).unwrap_err();
    assert!(matches!(refused, EngineError::Grammar(GrammarError::Refused { .. })));
    assert_eq!(guide.observe(byte("b")).unwrap(), Followed::Complete);
    assert_eq!(guide.reasoning_tokens().unwrap(), 2);
}

#[test]
fn a_model_that_may_reason_reasons_or_follows_the_grammar() {
    let guided = || new(Guide { reasoning: reasoning(false, None), grammar: Some(grammar("ab")) });
    let mut answers = guided();
    assert_eq!(allowed(&mut answers), Some(vec![byte("a"), THINK]));
    answers.observe(byte("a")).unwrap();
    assert_eq!(allowed(&mut answers), Some(vec![byte("b")]));
    let mut reasons = guided();
    for token in [THINK, byte("z"), DONE] {
        reasons.observe(token).unwrap();
    }
    assert_eq!(allowed(&mut reasons), Some(vec![byte("a")]));
}

#[test]
fn what_a_grammar_is_to_hold_does_not_begin_in_reasoning() {
    let marks = || ReasoningGuide { forbidden: vec![5], ..reasoning(true, None).unwrap() };
    let mut guide = new(Guide { reasoning: Some(marks()), grammar: Some(grammar("a")) });
    let inside = allowed(&mut guide).unwrap();
    assert!(inside.contains(&4) && !inside.contains(&5) && !inside.contains(&END), "{inside:?}");
    let mut free = new(Guide { reasoning: Some(marks()), grammar: None });
    assert_eq!(allowed(&mut free), None);
}

#[test]
fn a_mark_of_several_tokens_is_told_from_an_answer_that_begins_alike() {
    let marks = |begins: &str| ReasoningGuide {
        opened: false,
        begins: begins.bytes().map(u32::from).collect(),
        ends: vec![DONE],
        ..ReasoningGuide::default()
    };
    let guided = |begins| new(Guide { reasoning: Some(marks(begins)), grammar: Some(grammar("<a>")) });
    let mut alike = guided("<ab>");
    alike.observe(byte("<")).unwrap();
    alike.observe(byte("a")).unwrap();
    assert_eq!(allowed(&mut alike), Some(vec![byte(">"), byte("b")]));
    let mut reasons = alike.fork().unwrap();
    assert_eq!(alike.observe(byte(">")).unwrap(), Followed::Complete);
    reasons.observe(byte("b")).unwrap();
    assert_eq!(allowed(&mut reasons), Some(vec![byte(">")]), "no answer begins so: the mark is finished");
    for token in [byte(">"), byte("x"), DONE] {
        reasons.observe(token).unwrap();
    }
    assert_eq!(allowed(&mut reasons), Some(vec![byte("<")]));
}

#[test]
fn the_worker_gives_the_same_masks() {
    let worker = MaskWorker::start();
    let guide = Guide { reasoning: reasoning(true, Some(2)), grammar: Some(grammar("(ab|ac)+d")) };
    let (mut alone, mut helped) = (new(guide.clone()), new(guide));
    for token in [1, 2, DONE].into_iter().chain("abacabd".bytes().map(u32::from)) {
        helped.prepare(&worker);
        helped.prepare(&worker);
        assert_eq!(allowed(&mut alone), allowed(&mut helped));
        assert_eq!(alone.observe(token).unwrap(), helped.observe(token).unwrap());
    }
    helped.prepare(&worker);
    let mut fork = helped.fork().unwrap();
    drop(worker);
    assert_eq!(allowed(&mut fork), Some(vec![END]));
    let gone = MaskWorker::start();
    fork.prepare(&gone);
    drop(gone);
    assert_eq!(allowed(&mut fork), Some(vec![END]), "what was asked for is still computed");
}

#[test]
fn a_bias_against_all_that_is_allowed_leaves_nothing() {
    let mut mask = TokenMask::none(8);
    mask.allow(3);
    let logits = [0.0; 8];
    let place = Place { allowed: Some(&mask), ..Place::default() };
    let bias =
        |token, bias| SamplingSettings { logit_bias: vec![(token, bias)], ..SamplingSettings::plain(1.0) };
    let mut forbidding = Sampler::new(bias(3, f32::NEG_INFINITY), Logprobs::None, 8).unwrap();
    assert!(matches!(forbidding.sample(&logits, place), Err(EngineError::NoTokenLeft)));
    let mut wishing = Sampler::new(bias(4, 1000.0), Logprobs::Top(8), 8).unwrap();
    let sampled = wishing.sample(&logits, place).unwrap();
    assert_eq!(sampled.token, 3);
    // The model's own distribution: all eight alike, whatever is masked.
    let logprobs = sampled.logprobs.unwrap();
    assert!((logprobs.chosen - (1.0f32 / 8.0).ln()).abs() < 1e-6);
    assert_eq!(logprobs.top.len(), 8);
    let narrow = TokenMask::all(4);
    let place = Place { allowed: Some(&narrow), ..Place::default() };
    assert!(wishing.sample(&logits, place).unwrap().token < 4, "tokens beyond the mask are forbidden");
}

proptest! {
    /// A mask has the effect of logits that are minus infinity, whatever the settings.
    #[test]
    fn a_mask_composes_with_every_setting(
        logits in prop::collection::vec(-20f32..20.0, 1..300),
        bits in prop::collection::vec(any::<bool>(), 300),
        (top_k, top_p, min_p, typical_p) in (0usize..500, 0.01f32..=1.0, 0f32..=1.0, 0.01f32..=1.0),
        (temperature, seed, draw) in (0f32..3.0, any::<u64>(), any::<u64>()),
        (repetition, presence, bias) in (0.5f32..2.0, -1f32..1.0, -5f32..5.0),
        context in prop::collection::vec(0u32..300, 0..20),
    ) {
        let mut mask = TokenMask::none(logits.len());
        bits.iter().enumerate().filter(|(_, bit)| **bit).for_each(|(token, _)| mask.allow(token as u32));
        prop_assume!(mask.count() > 0);
        let settings = SamplingSettings {
            top_k, top_p, min_p, typical_p, temperature, seed, repetition_penalty: repetition,
            presence_penalty: presence, logit_bias: vec![(0, bias)], ..SamplingSettings::greedy()
        };
        let masked: Vec<f32> = logits.iter().enumerate()
            .map(|(token, logit)| if mask.allows(token as u32) { *logit } else { f32::NEG_INFINITY }).collect();
        let mut sampler = Sampler::new(settings, Logprobs::None, logits.len()).unwrap();
        let place = Place { context: &context, draw, allowed: Some(&mask) };
        let free = Place { allowed: None, ..place };
        let token = sampler.sample(&logits, place).unwrap().token;
        prop_assert!(mask.allows(token));
        prop_assert_eq!(token, sampler.sample(&masked, free).unwrap().token);
        let distribution = sampler.distribution(&logits, place).unwrap();
        prop_assert_eq!(distribution, sampler.distribution(&masked, free).unwrap());
    }
}
