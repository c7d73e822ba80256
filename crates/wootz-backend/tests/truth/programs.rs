//! Programs are consistent in themselves: for every family, on paper, before any device runs them.

use std::collections::HashSet;

use serde_json::{Value, json};
use wootz_backend::ops::{Buffer, Op, Program, Projection, Rows, Weight};
use wootz_backend::program::program;
use wootz_spec::{ModelSpec, TensorRole};

fn specs() -> Vec<ModelSpec> {
    let base = |family: &str| {
        json!({
            "architectures": [family], "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "head_dim": 8,
        })
    };
    let variants = [
        json!({}),
        json!({"tie_word_embeddings": true, "attention_bias": true, "mlp_bias": true}),
        json!({"wootz_gguf": true, "rope_factors": true}),
        // Widths that coincide: two purposes must not get one buffer.
        json!({"num_key_value_heads": 4, "head_dim": 16, "intermediate_size": 64, "vocab_size": 64}),
    ];
    let families = ["LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"];
    let with = |mut config: Value, changes: &Value| {
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        ModelSpec::from_config(&config).unwrap()
    };
    families
        .iter()
        .flat_map(|family| variants.iter().map(move |changes| with(base(family), changes)))
        .collect()
}

/// What an op reads and writes, and the weights with the shapes that they need.
#[derive(Default)]
struct Uses {
    reads: Vec<Buffer>,
    writes: Vec<Buffer>,
    in_place: Vec<Buffer>,
    weights: Vec<(Weight, Vec<usize>)>,
}

fn uses(program: &Program, op: &Op) -> Uses {
    let width = |buffer: &Buffer| program.buffers[buffer.0].width;
    let matrix = |projection: &Projection, input: &Buffer| {
        let matrix = (projection.matrix, vec![width(&projection.out), width(input)]);
        let bias = projection.bias.map(|bias| (bias, vec![width(&projection.out)]));
        std::iter::once(matrix).chain(bias).collect::<Vec<_>>()
    };
    match op {
        Op::Embed { table, out, .. } => Uses {
            writes: vec![*out],
            weights: vec![(*table, vec![width(&program.logits), width(out)])],
            ..Uses::default()
        },
        Op::RmsNorm { input, weight, out, .. } => {
            assert_eq!(width(input), width(out));
            Uses {
                reads: vec![*input],
                writes: vec![*out],
                weights: vec![(*weight, vec![width(out)])],
                ..Uses::default()
            }
        }
        Op::AddNorm { residual, input, weight, out, .. } => {
            assert_eq!((width(input), width(residual)), (width(out), width(out)));
            Uses {
                reads: vec![*input],
                writes: vec![*out],
                in_place: vec![*residual],
                weights: vec![(*weight, vec![width(out)])],
            }
        }
        Op::Project { input, projections } => Uses {
            reads: vec![*input],
            writes: projections.iter().map(|projection| projection.out).collect(),
            weights: projections.iter().flat_map(|projection| matrix(projection, input)).collect(),
            ..Uses::default()
        },
        Op::GateUp { input, gate, up, out, .. } => Uses {
            reads: vec![*input],
            writes: vec![gate.out, up.out, *out],
            weights: [gate, up].into_iter().flat_map(|projection| matrix(projection, input)).collect(),
            ..Uses::default()
        },
        Op::HeadNorm { buffer, heads, weight, .. } => {
            assert_eq!(heads.width(), width(buffer));
            Uses { in_place: vec![*buffer], weights: vec![(*weight, vec![heads.dim])], ..Uses::default() }
        }
        Op::Rope { query, query_heads, key, key_heads, rope, factors } => {
            assert_eq!((query_heads.width(), key_heads.width()), (width(query), width(key)));
            let weights = factors.iter().map(|&factors| (factors, vec![rope.dims / 2])).collect();
            Uses { in_place: vec![*query, *key], weights, ..Uses::default() }
        }
        Op::KvWrite { layer, key, value } => {
            assert!(*layer < program.cache.layers);
            let expected = program.cache.kv_heads * program.cache.head_dim;
            assert_eq!((width(key), width(value)), (expected, expected));
            Uses { reads: vec![*key, *value], ..Uses::default() }
        }
        Op::Attention { layer, query, query_heads, kv_heads, out, .. } => {
            assert!(*layer < program.cache.layers);
            assert_eq!((*kv_heads, query_heads.dim), (program.cache.kv_heads, program.cache.head_dim));
            assert_eq!((query_heads.width(), query_heads.width()), (width(query), width(out)));
            Uses { reads: vec![*query], writes: vec![*out], ..Uses::default() }
        }
        Op::AllReduce { buffer } => Uses { in_place: vec![*buffer], ..Uses::default() },
        Op::GatherAdd { residual, input, out } => {
            assert_eq!(program.buffers[out.0].rows, Rows::Samples);
            Uses { reads: vec![*residual, *input], writes: vec![*out], ..Uses::default() }
        }
    }
}

#[test]
fn nothing_is_read_before_it_is_written_and_nothing_aliases() {
    for spec in specs() {
        let program = program(&spec);
        let mut written = HashSet::new();
        for op in &program.ops {
            let Uses { reads, writes, in_place, .. } = uses(&program, op);
            for buffer in reads.iter().chain(&in_place) {
                assert!(written.contains(buffer), "{buffer:?} is read before it is written, in {op:?}");
            }
            let changed: Vec<_> = writes.iter().chain(&in_place).collect();
            let distinct: HashSet<_> = changed.iter().collect();
            assert_eq!(distinct.len(), changed.len(), "one buffer is written twice in {op:?}");
            assert!(reads.iter().all(|buffer| !changed.contains(&buffer)), "aliased buffers in {op:?}");
            written.extend(writes);
        }
        assert!(written.contains(&program.logits));
        assert_eq!(written.len(), program.buffers.len(), "a buffer that nobody writes");
    }
}

#[test]
fn weights_have_the_shapes_that_the_buffers_need_and_all_are_used() {
    for spec in specs() {
        let program = program(&spec);
        let mut used = HashSet::new();
        for op in &program.ops {
            for (weight, needed) in uses(&program, op).weights {
                let role = program.weights[weight.0];
                assert_eq!(spec.tensor_shape(role), Some(needed), "{role:?} in {op:?}");
                used.insert(role);
            }
        }
        assert_eq!(used, spec.tensors().collect::<HashSet<TensorRole>>());
        assert_eq!(used.len(), program.weights.len(), "a weight has two numbers");
    }
}

#[test]
fn buffers_do_not_grow_with_layers() {
    let spec = &specs()[0];
    let mut deep = spec.clone();
    deep.layers = vec![spec.layers[0].clone(); 50];
    assert_eq!(program(&deep).buffers, program(spec).buffers);
}
