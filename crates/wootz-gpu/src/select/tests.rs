use wootz_weights::TensorType;

use super::*;
use crate::device::{BufferId, Slice};
use crate::kernels::matrix::Packing;

fn facts(family: Family, cores: Option<u32>) -> DeviceFacts {
    DeviceFacts {
        name: "a device".into(),
        family,
        driver: "1".into(),
        cores,
        memory: 1 << 36,
        buffer_bytes: 1 << 34,
        bandwidth: None,
        half_rate: None,
        tensor_operations: false,
        matrix_library: family != Family::Emulator,
        register_factors: matches!(family, Family::Nvidia(_)),
        warpgroup_products: family == Family::Nvidia(90),
        offset_alignment: 4,
    }
}

fn shape(kind: TensorType, rows: usize, outputs: usize, columns: usize) -> Shape {
    let length = outputs * kind.row_bytes(columns).unwrap();
    let data = Slice { buffer: BufferId(0), offset: 0, length };
    Shape { rows, matrix: StoredMatrix::ggml(kind, outputs, columns, data).unwrap(), bias: false }
}

fn rules(choices: &Choices) -> Rules<'_> {
    Rules { answers: Answers::Fastest, library: Library::Auto, choices }
}

fn with(choices: &Choices, library: Library) -> Rules<'_> {
    Rules { library, ..rules(choices) }
}

fn chosen(shape: &Shape, facts: &DeviceFacts, rules: Rules<'_>) -> String {
    choose(shape, facts, rules).map_or("none".into(), Choice::name)
}

#[test]
fn the_table() {
    use TensorType as T;
    let choices = Choices::default();
    let table = [
        // Few rows: the matrix is read once.
        (T::Q4_K, 1, 4096, 4096, "gemv"),
        (T::Q4_K, 8, 4096, 4096, "gemv"),
        (T::IQ2_XS, 8, 4096, 4096, "gemv"),
        // Tiles as large as the rows fill.
        (T::Q4_K, 9, 4096, 4096, "gemm_rows16"),
        (T::Q4_K, 17, 4096, 4096, "gemm_rows32"),
        (T::Q4_K, 33, 4096, 4096, "gemm_rows64"),
        (T::Q4_K, 2048, 14336, 4096, "gemm_rows64"),
        // A head: wider tiles, until the rows fill larger ones.
        (T::Q6_K, 16, 128_256, 4096, "gemm_rows16"),
        (T::Q6_K, 32, 128_256, 4096, "gemm_head"),
        (T::Q6_K, 64, 128_256, 4096, "gemm_rows64"),
        // Formats of rarer use have two tiles.
        (T::Q3_K, 17, 4096, 4096, "gemm_rows64"),
        (T::Q3_K, 12, 4096, 4096, "gemm_rows16"),
        // 16 or 32 tiles for 40 cores.
        (T::Q4_K, 16, 1024, 4096, "gemm_rows16_parts5"),
        (T::Q4_K, 128, 1024, 4096, "gemm_rows64_parts3"),
        (T::Q4_K, 16, 1024, 512, "gemm_rows16"),
        // Widths that the matrix unit's tiles do not take.
        (T::F16, 1, 100, 130, "gemv"),
        (T::F16, 9, 100, 130, "gemm_tiled"),
    ];
    for (kind, rows, outputs, columns, expected) in table {
        let found =
            chosen(&shape(kind, rows, outputs, columns), &facts(Family::Apple(9), Some(40)), rules(&choices));
        assert_eq!(found, expected, "{kind} {rows}x{outputs}x{columns}");
    }
}

#[test]
fn reproducible_answers_have_one_order_of_additions() {
    let choices = Choices::default();
    let rules = Rules { answers: Answers::Reproducible, ..rules(&choices) };
    for (kind, columns) in [(TensorType::Q4_K, 4096), (TensorType::F16, 130)] {
        for rows in 1..100 {
            let choice = choose(&shape(kind, rows, 1024, columns), &facts(Family::Apple(9), Some(40)), rules);
            let tiles = matches!(choice, Some(Choice::Tiles(_)));
            let plain = choice == Some(Choice::Plain(PlainStage::Tiled));
            assert!(if columns == 130 { plain } else { tiles }, "{rows} rows: {choice:?}");
        }
    }
}

#[test]
fn a_measured_winner_is_preferred_where_it_is_a_candidate() {
    let device = facts(Family::Apple(9), Some(10));
    let shape = shape(TensorType::Q4_K, 6, 4096, 4096);
    assert_eq!(shape.key(), "q4_k 8x4096x4096");
    let mut choices = Choices::default();
    choices.winners.insert(shape.key(), "gemm_rows8".into());
    assert_eq!(chosen(&shape, &device, rules(&choices)), "gemm_rows8");
    choices.winners.insert(shape.key(), "a kernel of another version".into());
    assert_eq!(chosen(&shape, &device, rules(&choices)), "gemv");
}

#[test]
fn an_excluded_kernel_gives_way_to_the_next() {
    let device = facts(Family::Apple(9), Some(10));
    let shape = shape(TensorType::Q4_K, 1, 4096, 4096);
    let mut choices = Choices::default();
    let mut order = Vec::new();
    while let Some(choice) = choose(&shape, &device, rules(&choices)) {
        order.push(choice.name());
        choices.excluded.extend(choice.entries(&shape).into_iter().map(String::from));
    }
    assert_eq!(order, ["gemv", "gemm_rows8", "gemm_rows16", "gemm_rows32", "gemm_head", "gemm_rows64"]);
}

#[test]
fn the_systems_library_is_used_when_asked_for_or_measured_faster() {
    let device = facts(Family::Apple(9), Some(10));
    let many = shape(TensorType::F16, 512, 4096, 4096);
    let mut choices = Choices::default();
    assert_eq!(chosen(&many, &device, with(&choices, Library::Auto)), "gemm_rows64");
    assert_eq!(chosen(&many, &device, with(&choices, Library::System)), "system");
    choices.winners.insert(many.key(), "system".into());
    assert_eq!(chosen(&many, &device, with(&choices, Library::Auto)), "system");
    assert_eq!(chosen(&many, &device, with(&choices, Library::Own)), "gemm_rows64");
    assert_eq!(chosen(&many, &facts(Family::Emulator, None), with(&choices, Library::System)), "gemm_rows64");
    let nvidia = facts(Family::Nvidia(90), Some(132));
    let none = Choices::default();
    assert_eq!(chosen(&many, &nvidia, with(&none, Library::Auto)), "system");
    assert_eq!(chosen(&many, &nvidia, with(&none, Library::Own)), "gemm_rows64");
}

#[test]
fn what_is_not_packed_runs_on_nvidia_as_elsewhere() {
    use TensorType as T;
    let device = facts(Family::Nvidia(90), Some(132));
    let choices = Choices::default();
    let table = [
        (T::Q3_K, 1, 4096, 4096, "gemv"),
        (T::IQ2_XS, 8, 4096, 4096, "gemv"),
        (T::F16, 8, 100, 130, "gemv"),
        (T::Q3_K, 9, 4096, 4096, "system"),
        // A head as f16 would take too much memory.
        (T::Q3_K, 65, 128_256, 4096, "gemm_rows64"),
    ];
    for (kind, rows, outputs, columns, expected) in table {
        let found = chosen(&shape(kind, rows, outputs, columns), &device, rules(&choices));
        assert_eq!(found, expected, "{kind} {rows}x{outputs}x{columns}");
    }
}

/// A matrix that was packed when it was loaded.
fn packed(rows: usize, outputs: usize, columns: usize) -> Shape {
    let format = MatrixFormat::Packed(Packing::Nibbles);
    let length = outputs.next_multiple_of(16) * format.row_bytes(columns).unwrap();
    let data = Slice { buffer: BufferId(0), offset: 0, length };
    let matrix = StoredMatrix { format, rows: outputs, columns, data, scales: None, biases: None };
    Shape { rows, matrix: matrix.checked().unwrap(), bias: false }
}

#[test]
fn packed_matrices_are_read_once_for_up_to_64_rows() {
    let nvidia = facts(Family::Nvidia(90), Some(132));
    let choices = Choices::default();
    let table = [
        (1, 4096, 4096, "gemm_packed"),
        (8, 4096, 4096, "gemm_packed"),
        (16, 4096, 4096, "gemm_packed"),
        // As many parts as fill all cores, each of 512 columns at least.
        (17, 4096, 4096, "gemm_warpgroup_parts8"),
        (32, 14336, 4096, "gemm_warpgroup_parts2"),
        (64, 28672, 4096, "gemm_warpgroup_parts1"),
        (64, 1024, 4096, "gemm_warpgroup_parts8"),
        (65, 4096, 4096, "system"),
        // The head as f16 would be too large.
        (65, 128_256, 4096, "gemm_packed"),
    ];
    let reproducible = Rules { answers: Answers::Reproducible, ..rules(&choices) };
    for (rows, outputs, columns, expected) in table {
        let shape = packed(rows, outputs, columns);
        assert_eq!(chosen(&shape, &nvidia, rules(&choices)), expected, "{rows} rows of {outputs}x{columns}");
        assert_eq!(chosen(&shape, &nvidia, reproducible), "gemm_packed");
        let without_library = DeviceFacts { matrix_library: false, ..nvidia.clone() };
        assert_ne!(chosen(&shape, &without_library, rules(&choices)), "none");
    }
}

#[test]
fn packed_records_are_spread_so_that_all_cores_end_together() {
    // Simdgroups and threadgroups for up to 8 rows, in units of 16 outputs, and for more, in units of 32; 132 cores hold 2,112
    // simdgroups.
    let table = [
        // 256 units, each with 4 chunks for 8 simdgroups: a threadgroup for each. 128 larger ones leave cores idle unless 16
        // simdgroups share each.
        (4096, 4096, (8, 256), (16, 128)),
        // 384: two turns of 264 would leave half of the second unused.
        (6144, 4096, (16, 132), (8, 192)),
        (28_672, 4096, (8, 264), (16, 132)),
        (4096, 14_336, (8, 256), (16, 128)),
        (896, 896, (8, 56), (8, 28)),
    ];
    let nvidia = facts(Family::Nvidia(90), Some(132));
    let spread = |answers, rows, outputs, columns| {
        let matrix = packed(rows, outputs, columns).matrix;
        match PackedGemm::ways(&nvidia, answers, rows, &matrix)[0] {
            Sharing::Few(spread) => (spread.simdgroups, spread.threadgroups),
            all => panic!("{rows} rows: {all:?}"),
        }
    };
    for (outputs, columns, few, more) in table {
        assert_eq!(spread(Answers::Fastest, 8, outputs, columns), few, "{outputs}x{columns}");
        assert_eq!(spread(Answers::Fastest, 9, outputs, columns), more, "{outputs}x{columns}");
        for rows in [1, 9, 17, 100] {
            assert_eq!(spread(Answers::Reproducible, rows, outputs, columns), few, "{rows} rows");
        }
    }
}

#[test]
fn a_packed_matrix_has_another_kernel_where_one_is_wrong_or_slower() {
    let nvidia = facts(Family::Nvidia(90), Some(132));
    let mut choices = Choices::default();
    let (one, more) = (packed(1, 4096, 4096), packed(17, 4096, 4096));
    choices.winners.insert(one.key(), "gemm_warpgroup_parts8".into());
    assert_eq!(chosen(&one, &nvidia, rules(&choices)), "gemm_warpgroup_parts8");
    choices.winners.clear();
    choices.excluded.insert("gemm_packed1_nibbles".into());
    assert_eq!(chosen(&one, &nvidia, rules(&choices)), "gemm_warpgroup_parts8");
    choices.excluded = ["gemm_warpgroup_nibbles".to_owned()].into();
    assert_eq!(chosen(&more, &nvidia, rules(&choices)), "gemm_staged_parts8");
    let ampere = facts(Family::Nvidia(80), Some(132));
    assert_eq!(chosen(&more, &ampere, rules(&choices)), "gemm_staged_parts8");
}

#[test]
fn tensor_operations_are_used_only_where_measured_faster() {
    let without = facts(Family::Apple(10), Some(10));
    let with_tensors = DeviceFacts { tensor_operations: true, ..without.clone() };
    let many = shape(TensorType::Q4_K, 512, 4096, 4096);
    let mut choices = Choices::default();
    assert_eq!(chosen(&many, &with_tensors, rules(&choices)), "gemm_rows64");
    choices.winners.insert(many.key(), "gemm_tensor".into());
    assert_eq!(chosen(&many, &with_tensors, rules(&choices)), "gemm_tensor");
    assert_eq!(chosen(&many, &with_tensors, with(&choices, Library::Own)), "gemm_tensor");
    assert_eq!(chosen(&many, &without, rules(&choices)), "gemm_rows64");
    let reproducible = Rules { answers: Answers::Reproducible, ..rules(&choices) };
    assert_eq!(chosen(&many, &with_tensors, reproducible), "gemm_rows64");
    choices.excluded.insert("gemm_tensor_q4_k".into());
    assert_eq!(chosen(&many, &with_tensors, rules(&choices)), "gemm_rows64");
    // Few rows, and formats that it does not read.
    for other in [shape(TensorType::Q4_K, 8, 4096, 4096), shape(TensorType::Q3_K, 512, 4096, 4096)] {
        let candidates = candidates(&other, &with_tensors, Answers::Fastest);
        assert!(!candidates.contains(&Choice::Tensor));
    }
    // Not even where nothing else is left.
    let own = candidates(&many, &with_tensors, Answers::Fastest);
    let others = own.iter().filter(|&&choice| choice != Choice::Tensor);
    choices.excluded = others.flat_map(|choice| choice.entries(&many)).map(String::from).collect();
    choices.winners.clear();
    assert_eq!(chosen(&many, &with_tensors, with(&choices, Library::Own)), "none");
}

#[test]
fn every_candidate_has_a_name_of_its_own() {
    for rows in [1, 8, 16, 32, 100] {
        let shape = shape(TensorType::F16, rows, 256, 4096);
        let candidates = candidates(
            &shape,
            &DeviceFacts { tensor_operations: true, ..facts(Family::Apple(10), Some(8)) },
            Answers::Fastest,
        );
        let mut names: Vec<String> = candidates.iter().map(|choice| choice.name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), candidates.len());
    }
}
