//! Models whose matrices are packed at load, as on NVIDIA's GPUs.

use wootz_backend::Model;
use wootz_backend::step::{SequenceSlice, Step};
use wootz_gpu::choices::Choices;
use wootz_gpu::device::{DeviceFacts, Family};
use wootz_gpu::model::{GpuModel, GpuSettings};
use wootz_gpu::paper::Paper;
use wootz_gpu::select::Answers;

use super::fixture::{self, fixtures, load, settings, shipped, step};
use super::whole::{agrees_when_packed, long_prompts_agree, matches_the_reference, mixed_equals_separate};
use super::wrapped::packing_device;

/// Quantised and plain models whose matrices are packed at load: prompts with the kernels for many rows and for eight,
/// answers with those for one; and an embedding that is multiplied with too.
#[test]
fn packed_models_agree_with_the_reference() {
    let bfloat = fixture::rewritten(&fixtures().join("models/llama"), fixture::Rewrite::BFloat16);
    for path in [shipped("tales-7m.Q8_0.gguf"), shipped("tales-46m.Q4_K_M.gguf"), bfloat.path().to_owned()] {
        agrees_when_packed(&path, &|| packing_device());
    }
}

/// Biases of q, k and v, and of gate and up; and a v that is not packed, so that its input is needed as f32 too.
#[test]
fn packed_models_with_biases_agree_with_the_reference() {
    let models = [("llama_bias", "nothing", 4), ("qwen2", "v_proj", 4), ("mistral_window", "up_proj", 2)];
    for (model, plain, joints) in models {
        let folder = fixture::widened(&fixtures().join("models").join(model), plain);
        assert_eq!(agrees_when_packed(folder.path(), &|| packing_device()), joints, "{model}");
    }
}

/// The launches of a step of so many sequences whose kernel's name begins so.
fn launches(model: &mut GpuModel, rows: usize, kernel: &str) -> usize {
    let pages: Vec<u32> = (0..rows as u32).collect();
    let sequences = (0..rows).map(|row| SequenceSlice { rows: row..row + 1, pages: row..row + 1 });
    let step = Step {
        positions: vec![0; rows],
        page_table: pages,
        sequences: sequences.collect(),
        ..step(&vec![1; rows], 0, vec![0])
    };
    let plan = model.plan(&step).unwrap();
    plan.iter().filter(|dispatch| dispatch.kernel.entry.starts_with(kernel)).count()
}

/// Norms, the first and the last too, gates and attention make their results f16 themselves: nothing is left to convert.
#[test]
fn products_find_their_input_as_f16() {
    let mut model = load(&shipped("tales-7m.Q8_0.gguf"), packing_device(), Answers::Fastest);
    let layers = model.spec().layers.len();
    for rows in [8, 9, 17] {
        // Of these the first is sampled, and picked out between the last sum and its norm, which is done within the head.
        assert_eq!(launches(&mut model, rows, "rms_norm_half"), 1, "{rows} rows");
        assert_eq!(launches(&mut model, rows, "add_rms_norm_half"), 2 * layers - 1, "{rows} rows");
        assert_eq!(launches(&mut model, rows, "gemm_normed"), 1, "{rows} rows");
        assert_eq!(launches(&mut model, rows, "half_rows"), 0, "{rows} rows");
    }
    // A row by itself is normed where it is read.
    assert_eq!(launches(&mut model, 1, "rms_norm") + launches(&mut model, 1, "add_rms_norm"), 0);
    assert_eq!(launches(&mut model, 1, "gemm_normed"), 2 * layers + 1);
    let mut reproducible = load(&shipped("tales-7m.Q8_0.gguf"), packing_device(), Answers::Reproducible);
    assert_eq!(launches(&mut reproducible, 1, "gemm_normed"), 0);
    assert_eq!(launches(&mut reproducible, 1, "add_rms_norm_half"), 2 * layers);
}

/// What is wrong on a device is not used, and what it was one launch with comes by itself.
#[test]
fn launches_come_apart_where_a_kernel_is_wrong() {
    let (bytes, mixed) = ("tales-7m.Q8_0.gguf", "tales-46m.Q4_K_M.gguf");
    for (file, wrong, rows, instead) in [
        (bytes, "gemm_normed_bytes", 1, "add_rms_norm_half"),
        (bytes, "gemm_normed_gated_bytes", 1, "gated_half_silu"),
        (bytes, "gemm_gated16_bytes", 8, "gated_half_silu"),
        (bytes, "longest_row_bytes", 8, "gated_half_silu"),
        (mixed, "gemm_normed_pair_nibbles_six_bits", 1, "gemm_normed_six_bits"),
        (mixed, "gemm_pair8_nibbles_six_bits", 8, "gemm_packed8_six_bits"),
    ] {
        let mut choices = Choices::default();
        choices.excluded.insert(wrong.into());
        let settings = GpuSettings { choices, ..settings(64, Answers::Fastest) };
        let mut model = fixture::try_load(&shipped(file), packing_device(), &settings).unwrap();
        assert_eq!(launches(&mut model, rows, wrong), 0, "{wrong}");
        assert!(launches(&mut model, rows, instead) > 0, "{instead} instead of {wrong}");
    }
}

/// With Q4_K_M, v is Q6_K in half of the layers: there q and k go together, and for few rows v beside them.
#[test]
fn products_of_one_input_are_one_launch() {
    for (file, pairs) in [("tales-7m.Q8_0.gguf", 0), ("tales-46m.Q4_K_M.gguf", 6)] {
        let mut model = load(&shipped(file), packing_device(), Answers::Fastest);
        let layers = model.spec().layers.len();
        assert_eq!(model.lowering().weights.joints.len(), 2 * layers);
        let (normed, gated) = (layers + 1, layers);
        // The output and down; with more rows also q, k and v. The head always has a single row.
        for (rows, kernel, count) in [
            (1, "gemm_packed1_", 2 * layers),
            (1, "gemm_normed_gated_", gated),
            (1, "gemm_normed_", normed + gated),
            (1, "gemm_normed_pair_", pairs),
            (8, "gemm_packed8_", 3 * layers - pairs),
            (8, "gemm_pair8_", pairs),
            (8, "gemm_gated8_", gated),
            (9, "gemm_packed16_", 3 * layers - pairs),
            (9, "gemm_pair16_", pairs),
            (9, "gemm_gated16_", gated),
            (17, "gemm_warpgroup_", 4 * layers + pairs),
        ] {
            assert_eq!(launches(&mut model, rows, kernel), count, "{file}, {rows} rows, {kernel}");
        }
    }
}

/// Beyond 64 rows the device's library takes matrices one by one; where every row has to have the same bits, they go together
/// as for few rows.
#[test]
fn more_rows_than_are_packed_take_matrices_one_by_one() {
    let path = shipped("tales-46m.Q4_K_M.gguf");
    let paper = Paper::new(DeviceFacts {
        name: "an NVIDIA GPU on paper".into(),
        family: Family::Nvidia(90),
        cores: Some(132),
        matrix_library: true,
        ..packing_device().facts
    });
    for (answers, together, gated, alone) in [(Answers::Fastest, 0, 0, 7), (Answers::Reproducible, 3, 1, 0)] {
        let settings = GpuSettings { rows: 128, ..settings(64, answers) };
        let mut model = fixture::try_load(&path, Box::new(paper.clone()), &settings).unwrap();
        let layers = model.spec().layers.len();
        let plan = model.plan(&step(&[1; 65], 0, vec![])).unwrap();
        let count =
            |entry: &str| plan.iter().filter(|dispatch| dispatch.kernel.entry.starts_with(entry)).count();
        // In six layers v has another packing than q and k.
        let pairs = if together > 0 { 6 } else { 0 };
        assert_eq!(count("gemm_packed"), together * layers - pairs, "{answers:?}");
        assert_eq!(count("gemm_pair16_nibbles_six_bits"), pairs, "{answers:?}");
        assert_eq!(count("gemm_gated"), gated * layers, "{answers:?}");
        assert_eq!(count("unpack_"), alone * layers, "{answers:?}");
    }
}

/// Where a kernel for more rows is wrong, rows of reproducible answers don't take the one for fewer either.
#[test]
fn reproducible_pairs_are_of_all_rows_or_none() {
    let mut choices = Choices::default();
    choices.excluded.insert("gemm_pair16_nibbles_six_bits".into());
    for (answers, pairs) in [(Answers::Fastest, 6), (Answers::Reproducible, 0)] {
        let settings = GpuSettings { choices: choices.clone(), ..settings(64, answers) };
        let path = shipped("tales-46m.Q4_K_M.gguf");
        let mut model = fixture::try_load(&path, packing_device(), &settings).unwrap();
        assert_eq!(launches(&mut model, 8, "gemm_pair8_"), pairs, "{answers:?}");
        assert_eq!(launches(&mut model, 9, "gemm_pair16_"), 0, "{answers:?}");
    }
}

#[test]
fn a_packed_mixed_step_equals_separate_ones_bit_for_bit() {
    // In the second, matrices that are packed differently are one launch.
    for file in ["tales-7m.Q8_0.gguf", "tales-46m.Q4_K_M.gguf"] {
        mixed_equals_separate(&shipped(file), packing_device());
    }
}

#[test]
fn packed_long_prompts_agree_with_the_reference() {
    long_prompts_agree(&shipped("tales-7m.Q8_0.gguf"), 70, &|| packing_device());
}

/// What is not packed goes to the device's library, if there is one, for more rows than eight.
#[test]
fn a_library_agrees_with_the_reference() {
    for name in ["llama", "llama_bias", "qwen2"] {
        matches_the_reference(&fixtures().join("models").join(name), &|| {
            let mut device = packing_device();
            device.facts.matrix_library = true;
            // Where it is known to be the fastest.
            device.facts.family = Family::Nvidia(90);
            device
        });
    }
}
