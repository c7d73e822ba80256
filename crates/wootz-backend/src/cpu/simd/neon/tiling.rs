//! How rows and panels are cut in tiles.

/// A kernel that multiplies a tile with up to four times four registers of sums: enough of them to hide the latency of
/// the multiply-adds.
pub trait TileKernel {
    /// Multiplies `R` rows from `row` on with `P` panels from `panel` on.
    fn run<const R: usize, const P: usize>(&mut self, row: usize, panel: usize);
}

/// Goes through all `rows` and `panels`: four rows at a time with one panel, so that a loaded weight serves them all;
/// fewer with more panels.
pub fn tiles(kernel: &mut impl TileKernel, rows: usize, panels: usize) {
    for row in (0..rows).step_by(4) {
        let count = (rows - row).min(4);
        let group = 4 / count;
        for panel in (0..panels).step_by(group) {
            match (count, (panels - panel).min(group)) {
                (1, 4) => kernel.run::<1, 4>(row, panel),
                (1, 3) => kernel.run::<1, 3>(row, panel),
                (1, 2) => kernel.run::<1, 2>(row, panel),
                (1, _) => kernel.run::<1, 1>(row, panel),
                (2, 2) => kernel.run::<2, 2>(row, panel),
                (2, _) => kernel.run::<2, 1>(row, panel),
                (3, _) => kernel.run::<3, 1>(row, panel),
                _ => kernel.run::<4, 1>(row, panel),
            }
        }
    }
}
