//! Models that are divided: the parts are those of the program, and together they are the whole.

use wootz_backend::ops::{Op, Program, Weight};
use wootz_backend::program::{program, shard_program};
use wootz_backend::shard::Shard;
use wootz_backend::{BackendError, Binding};
use wootz_spec::{ModelSpec, TensorRole};
use wootz_weights::Checkpoint;

use crate::fixture::fixtures;

fn model(name: &str) -> (ModelSpec, Checkpoint) {
    let checkpoint = Checkpoint::open(fixtures().join(name)).unwrap();
    (ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap(), checkpoint)
}

fn weight(program: &Program, role: TensorRole) -> Option<Weight> {
    program.weights.iter().position(|&known| known == role).map(Weight)
}

/// Rows of a matrix, or a vector's elements as rows of one.
fn rows(binding: &Binding, weight: Weight) -> Vec<Vec<f32>> {
    let tensor = binding.tensor(weight);
    let values = tensor.to_f32();
    let width = if tensor.shape.len() == 1 { 1 } else { tensor.columns() };
    let columns = binding.columns(weight).unwrap_or(0..width);
    values.chunks_exact(width).map(|row| row[columns.clone()].to_vec()).collect()
}

/// Whether `parts` are the whole, below each other or side by side, or each of them is.
fn joined(parts: &[Vec<Vec<f32>>], whole: &Vec<Vec<f32>>) -> bool {
    let side_by_side = |row: usize| -> Vec<f32> {
        parts.iter().flat_map(|part| part.get(row).into_iter().flatten()).copied().collect()
    };
    parts.iter().all(|part| part == whole)
        || parts.concat() == *whole
        || (0..whole.len()).map(side_by_side).collect::<Vec<_>>() == *whole
}

#[test]
fn parts_make_up_the_whole() {
    for (name, ranks) in
        [("models/llama_bias", 2), ("models/qwen2", 2), ("models/qwen3", 2), ("stories260k", 4)]
    {
        let (spec, checkpoint) = model(name);
        let whole = program(&spec);
        let all = Binding::new(&spec, &whole, &checkpoint).unwrap();
        let shards = Shard::divide(&spec, &checkpoint, ranks).unwrap();
        let programs: Vec<Program> = shards.iter().map(|shard| shard_program(&spec, shard)).collect();
        let bindings: Vec<Binding> = shards
            .iter()
            .zip(&programs)
            .map(|(shard, program)| Binding::of_shard(&spec, program, &checkpoint, shard).unwrap())
            .collect();
        for &role in &whole.weights {
            let expected = rows(&all, weight(&whole, role).unwrap());
            let parts = programs
                .iter()
                .zip(&bindings)
                .filter_map(|(program, binding)| weight(program, role).map(|weight| rows(binding, weight)));
            assert!(joined(&parts.collect::<Vec<_>>(), &expected), "{name}: {role:?}");
        }
        for program in &programs {
            let sums = program.ops.iter().filter(|op| matches!(op, Op::AllReduce { .. })).count();
            assert_eq!(sums, 2 * spec.layers.len(), "{name}");
            assert_eq!(program.cache.kv_heads * ranks, whole.cache.kv_heads, "{name}");
        }
        assert!(whole.ops.iter().all(|op| !matches!(op, Op::AllReduce { .. })));
    }
}

/// A bias of a product that ranks add up is added by one of them.
#[test]
fn one_rank_adds_the_biases_of_sums() {
    let (spec, checkpoint) = model("models/llama_bias");
    let biases = |shard: &Shard| -> Vec<bool> {
        let program = shard_program(&spec, shard);
        let sums = program.ops.windows(2).filter_map(|pair| match pair {
            [Op::Project { projections, .. }, Op::AllReduce { .. }] => Some(projections[0].bias.is_some()),
            _ => None,
        });
        sums.collect()
    };
    let shards = Shard::divide(&spec, &checkpoint, 2).unwrap();
    assert_eq!(biases(&shards[0]), [true; 4]);
    assert_eq!(biases(&shards[1]), [false; 4]);
}

#[test]
fn what_does_not_divide_is_named() {
    let (spec, checkpoint) = model("models/llama");
    for ranks in [0, 3, 4] {
        let error = Shard::divide(&spec, &checkpoint, ranks).unwrap_err();
        assert!(matches!(error, BackendError::Division { .. }), "{error}");
        assert!(error.to_string().contains("layer 0 has 2 key/value heads"), "{error}");
    }
}
