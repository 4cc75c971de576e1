//! Pages for people: one file that asks for nothing from outside, and drawings in it.

use std::fmt::Write as _;

/// A whole page.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>keel {}</title>\n\
         <style>{STYLE}</style>\n{body}</html>\n",
        escaped(title)
    )
}

/// Text that is no markup, wherever it came from.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// A value with its name, and how far it may reach to either side.
#[derive(Clone, Debug)]
pub struct Point {
    /// Below it.
    pub name: String,
    /// How high it stands.
    pub value: f64,
    /// From where to where it may be; `None` for a bar from zero.
    pub range: Option<(f64, f64)>,
}

/// Points with their ranges, or bars, side by side around a line at zero.
pub fn points(title: &str, points: &[Point]) -> String {
    let ends = points.iter().flat_map(|p| p.range.map_or([p.value; 2], |(low, high)| [low, high]));
    let scale = Scale::of(ends.chain(points.iter().map(|p| p.value)));
    let step = (WIDTH - LEFT) / points.len().max(1) as f64;
    let mut out = open(title, &scale);
    for (place, point) in points.iter().enumerate() {
        let x = LEFT + (place as f64 + 0.5) * step;
        let (y, zero) = (scale.y(point.value), scale.y(0.0));
        let class = if point.value < 0.0 { "cost" } else { "gain" };
        match point.range {
            Some((low, high)) => {
                let (low, high) = (scale.y(low), scale.y(high));
                let _ = writeln!(
                    out,
                    "<path class=\"range\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>\
                     <circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"
                );
            }
            None => {
                let (top, height) = (y.min(zero), (y - zero).abs());
                let _ = writeln!(
                    out,
                    "<rect class=\"{class}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
                     height=\"{height:.1}\"/>",
                    x - step * 0.3,
                    step * 0.6
                );
            }
        }
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} {:+.3}</text>",
            HEIGHT - 6.0,
            escaped(&point.name),
            point.value
        );
    }
    out.push_str("</svg>\n");
    out
}

/// A line through `(x, y)` that come by x; it breaks where y is no number.
pub fn curve(title: &str, line: &[(f64, f64)]) -> String {
    let scale = Scale::of(line.iter().map(|&(_, y)| y));
    let (first, last) = match line {
        [first, .., last] => (first.0, last.0),
        _ => (0.0, 1.0),
    };
    let reach = if last > first { last - first } else { 1.0 };
    let mut out = open(title, &scale);
    out.push_str("<path class=\"line\" d=\"");
    // More points than the drawing is wide show nothing more.
    let every = line.len() / WIDTH as usize + 1;
    let kept = line.iter().enumerate().filter(|(at, _)| at % every == 0 || at + 1 == line.len());
    let mut pen = 'M';
    for (_, &(x, y)) in kept {
        if y.is_finite() {
            let x = LEFT + (x - first) / reach * (WIDTH - LEFT);
            let _ = write!(out, "{pen}{x:.1} {:.1}", scale.y(y));
        }
        pen = if y.is_finite() { 'L' } else { 'M' };
    }
    out.push_str("\"/>\n</svg>\n");
    out
}

/// Values from the bottom to the top of a drawing; zero is always within.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let ends = values.filter(|value| value.is_finite());
        let (low, high) = ends
            .fold((0.0, 0.0), |(low, high): (f64, f64), value| (low.min(value), high.max(value)));
        if high > low { Self { low, high } } else { Self { low: -1.0, high: 1.0 } }
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        HEIGHT - BELOW - share * (HEIGHT - BELOW - ABOVE)
    }
}

/// The beginning of a drawing: its title, zero, and the ends of its scale.
fn open(title: &str, scale: &Scale) -> String {
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\
         <text x=\"{LEFT}\" y=\"14\">{}</text>\n",
        escaped(title)
    );
    for value in [scale.low, 0.0, scale.high] {
        let y = scale.y(value);
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{LEFT} {y:.1}H{WIDTH}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.3}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    out
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const ABOVE: f64 = 26.0;
const BELOW: f64 = 26.0;

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:70em}\
    table{border-collapse:collapse;width:100%}td,th{padding:.3em .6em;text-align:left;\
    vertical-align:top;border-top:1px solid #ccc}.pass td{background:#e4f3e4}\
    .fail td{background:#f8dada}.not-run td{background:#eee}code{font-size:12px;\
    overflow-wrap:anywhere}ul{margin:.2em 0;padding-left:1em;list-style:none}\
    .n td,.n th{text-align:right}svg{width:100%;max-width:48em;font-size:11px;margin:.6em 0}\
    .axis{stroke:#ccc}.range{stroke:#555;stroke-width:2}.line{stroke:#246;fill:none}\
    .gain{fill:#2a7d3f}.cost{fill:#b3382c}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let page = page("a <title>", &escaped("<b> & \"c\""));
        assert!(page.contains("a &lt;title&gt;") && page.contains("&lt;b&gt; &amp; &quot;c&quot;"));
    }

    #[test]
    fn a_drawing_stays_within_its_frame_whatever_it_shows() {
        for value in [0.0, -3.0, 1e-12, 1e12, f64::NAN] {
            let point = Point { name: "<x>".to_owned(), value, range: Some((value, value + 1.0)) };
            let drawn = points("t", &[point]);
            assert!(drawn.contains("&lt;x&gt;") && drawn.ends_with("</svg>\n"), "{drawn}");
        }
        let scale = Scale::of([-2.0, 6.0].into_iter());
        assert!((scale.y(6.0) - ABOVE).abs() < 1e-9);
        assert!((scale.y(-2.0) - (HEIGHT - BELOW)).abs() < 1e-9);
        assert!(curve("t", &[]).ends_with("</svg>\n") && curve("t", &[(1.0, 2.0)]).contains('M'));
        let broken = curve("t", &[(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0), (3.0, 1.0)]);
        assert_eq!((broken.matches('L').count(), broken.contains("NaN")), (1, false), "{broken}");
        let long: Vec<(f64, f64)> = (0..5_000).map(|n| (f64::from(n), 1.0)).collect();
        let drawn = curve("t", &long);
        assert!(drawn.matches('L').count() < 800 && drawn.contains("L720.0"), "ends at the edge");
    }
}
