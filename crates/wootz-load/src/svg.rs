//! Plots as inline SVG: axes, lines, bars. Text is escaped; numbers have two decimals at most.

use std::fmt::Write;

/// Width of every plot in its own units; the page scales it.
const WIDTH: f64 = 640.0;
/// Room at the left for the numbers of the vertical axis.
const LEFT: f64 = 56.0;
/// Room at the right.
const RIGHT: f64 = 12.0;
/// Room above.
const TOP: f64 = 10.0;
/// Room below for the numbers and the name of the horizontal axis.
const BOTTOM: f64 = 38.0;

/// Text as it may stand in HTML and in attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Characters that XML has no place for.
            control if control.is_control() && control != '\n' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// A plot under construction: a coordinate system and what is drawn in it.
#[derive(Debug)]
pub struct Plot {
    height: f64,
    across: (f64, f64),
    up: (f64, f64),
    body: String,
}

impl Plot {
    /// A plot of some height whose axes run from zero to these values.
    pub fn new(height: f64, across: f64, up: f64) -> Self {
        let above_zero = |value: f64| if value.is_finite() && value > 0.0 { value } else { 1.0 };
        Self { height, across: (0.0, above_zero(across)), up: (0.0, above_zero(up)), body: String::new() }
    }

    fn x(&self, value: f64) -> f64 {
        let (from, to) = self.across;
        LEFT + (value - from) / (to - from) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let (from, to) = self.up;
        self.height - BOTTOM - (value - from) / (to - from) * (self.height - BOTTOM - TOP)
    }

    /// Lines and numbers of the vertical axis.
    pub fn vertical_axis(&mut self, label: impl Fn(f64) -> String) {
        for value in ticks(self.up.1) {
            let y = self.y(value);
            let _ = write!(
                self.body,
                r#"<line class="grid" x1="{LEFT}" y1="{y:.2}" x2="{:.2}" y2="{y:.2}"/><text class="tick" x="{:.2}" y="{:.2}" text-anchor="end">{}</text>"#,
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                escaped(&label(value))
            );
        }
    }

    /// Numbers of the horizontal axis, and its name.
    pub fn horizontal_axis(&mut self, name: &str, label: impl Fn(f64) -> String) {
        let bottom = self.height - BOTTOM;
        for value in ticks(self.across.1) {
            let x = self.x(value);
            let _ = write!(
                self.body,
                r#"<line class="grid" x1="{x:.2}" y1="{TOP}" x2="{x:.2}" y2="{bottom:.2}"/><text class="tick" x="{x:.2}" y="{:.2}" text-anchor="middle">{}</text>"#,
                bottom + 15.0,
                escaped(&label(value))
            );
        }
        let _ = write!(
            self.body,
            r#"<text class="tick" x="{:.2}" y="{:.2}" text-anchor="end">{}</text>"#,
            WIDTH - RIGHT,
            self.height - 5.0,
            escaped(name)
        );
    }

    /// A line through points, in the colour of a series.
    pub fn line(&mut self, series: usize, points: impl Iterator<Item = (f64, f64)>, title: &str) {
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "{:.2},{:.2} ", self.x(x), self.y(y));
        }
        let _ = write!(
            self.body,
            r#"<polyline class="line s{series}" points="{}"><title>{}</title></polyline>"#,
            path.trim_end(),
            escaped(title)
        );
    }

    /// A horizontal bar in a row that begins at `row` and is `thick` high, both in units of the vertical axis.
    pub fn bar(&mut self, class: &str, span: (f64, f64), row: (f64, f64), title: &str) {
        let (x, y) = (self.x(span.0), self.y(row.0 + row.1));
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{x:.2}" y="{y:.2}" width="{:.2}" height="{:.2}"><title>{}</title></rect>"#,
            (self.x(span.1) - x).max(0.4),
            (self.y(row.0) - y).max(0.4),
            escaped(title)
        );
    }

    /// The whole plot.
    pub fn finish(self, description: &str) -> String {
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {}" role="img" aria-label="{}">{}</svg>"#,
            self.height,
            escaped(description),
            self.body
        )
    }
}

/// Round values from zero to a greatest one: four to ten of them.
fn ticks(greatest: f64) -> impl Iterator<Item = f64> {
    let rough = greatest / 5.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * magnitude >= rough).unwrap_or(10.0) * magnitude;
    // An error of rounding must not leave the last one out.
    let count = (greatest / step + 1e-9).floor() as usize;
    (0..=count.min(20)).map(move |index| index as f64 * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_end() {
        let all = |greatest| ticks(greatest).map(|tick| format!("{tick:.3}")).collect::<Vec<_>>();
        assert_eq!(all(1.0), ["0.000", "0.200", "0.400", "0.600", "0.800", "1.000"]);
        assert_eq!(all(47.0), ["0.000", "10.000", "20.000", "30.000", "40.000"]);
        assert_eq!(all(0.003).len(), 4);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("<a href='x'>&\u{1}"), "&lt;a href=&#39;x&#39;&gt;&amp;\u{fffd}");
    }
}
