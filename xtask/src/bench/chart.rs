//! The chart: how many events a second each subject appends, by the number of callers.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor;

use super::Backend;
use super::contest::Subject;
use super::figures::thousands;
use super::measurement::{Key, Results};
use super::plan::APPEND;

const PANEL: (u32, u32) = (900, 320);
const CALLERS: [usize; 4] = [1, 16, 64, 256];
/// Ours first; the colours are told apart without red and green.
const BARS: [(&[Subject], &str, RGBColor); 4] = [
    (&[Subject::Ledger], "this log, all tables on", RGBColor(0, 90, 181)),
    (&[Subject::Ceiling, Subject::Raw], "the same rows written by hand", RGBColor(160, 196, 232)),
    (&[Subject::Cqrs], "cqrs-es, no tables", RGBColor(230, 140, 20)),
    (&[Subject::Umadb], "UmaDB", RGBColor(120, 120, 120)),
];

/// One panel for each backend, below each other, as SVG.
pub(super) fn append_rates(results: &Results, backends: &[Backend]) -> Result<String> {
    let mut svg = String::new();
    let panels = u32::try_from(backends.len())?.max(1);
    {
        let area = SVGBackend::with_string(&mut svg, (PANEL.0, PANEL.1 * panels)).into_drawing_area();
        area.fill(&WHITE).map_err(drawing)?;
        for (backend, panel) in backends.iter().zip(area.split_evenly((backends.len(), 1))) {
            draw_panel(results, *backend, &panel)?;
        }
        area.present().map_err(drawing)?;
    }
    Ok(svg)
}

fn draw_panel(results: &Results, backend: Backend, panel: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
    let rate = |callers, subjects: &[Subject]| {
        let keys = subjects.iter().map(|subject| Key {
            backend,
            work: APPEND.to_owned(),
            callers,
            subject: subject.name().to_owned(),
        });
        keys.filter_map(|key| results.median(&key, |round| Some(round.rate())).ok()).next()
    };
    let present: Vec<_> = BARS
        .into_iter()
        .filter(|(subjects, ..)| CALLERS.into_iter().any(|callers| rate(callers, subjects).is_some()))
        .collect();
    let rates = CALLERS
        .into_iter()
        .flat_map(|callers| present.iter().filter_map(move |(subjects, ..)| rate(callers, subjects)));
    let most = rates.fold(1.0, f64::max);

    let title = format!("{}: durable appends of one event, events/s", backend.title());
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 17))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..4.0, 0.0..most * 1.12)
        .map_err(drawing)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(5)
        .y_label_formatter(&|rate| thousands(*rate))
        .light_line_style(WHITE)
        .draw()
        .map_err(drawing)?;
    let width = 0.8 / f64::from(u32::try_from(present.len().max(1))?);
    for (bar, (subjects, label, colour)) in (0_u32..).zip(&present) {
        let bars = (0_u32..).zip(CALLERS).filter_map(|(group, callers)| {
            let left = f64::from(group) + 0.1 + f64::from(bar) * width;
            rate(callers, subjects).map(|rate| (left, rate))
        });
        let bars: Vec<(f64, f64)> = bars.collect();
        let rectangles = bars.iter().map(|(left, rate)| {
            Rectangle::new([(*left, 0.0), (left + width * 0.94, *rate)], colour.filled())
        });
        let series = chart.draw_series(rectangles).map_err(drawing)?;
        let colour = *colour;
        series
            .label(*label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        let numbers = bars.iter().map(|(left, rate)| {
            EmptyElement::at((left + width * 0.47, *rate))
                + Text::new(
                    thousands(*rate),
                    (0, -4),
                    ("sans-serif", 10).into_font().into_text_style(panel).pos(above()),
                )
        });
        chart.draw_series(numbers).map_err(drawing)?;
    }
    let below = ("sans-serif", 13).into_font().into_text_style(panel).pos(under());
    for (group, callers) in (0_u32..).zip(CALLERS) {
        let name = if callers == 1 { "1 caller".to_owned() } else { format!("{callers} callers") };
        let text = EmptyElement::at((f64::from(group) + 0.5, 0.0)) + Text::new(name, (0, 8), below.clone());
        chart.draw_series([text]).map_err(drawing)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 12))
        .draw()
        .map_err(drawing)?;
    Ok(())
}

const fn above() -> text_anchor::Pos {
    text_anchor::Pos { h_pos: text_anchor::HPos::Center, v_pos: text_anchor::VPos::Bottom }
}

const fn under() -> text_anchor::Pos {
    text_anchor::Pos { h_pos: text_anchor::HPos::Center, v_pos: text_anchor::VPos::Top }
}

fn drawing(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("draw the chart: {error}")
}

#[cfg(test)]
mod tests {
    use super::super::measurement::Measurement;
    use super::*;

    #[test]
    fn a_bar_is_drawn_for_each_subject_that_was_measured() {
        let mut results = Results::default();
        for (subject, rate) in [(Subject::Ledger, 40_000), (Subject::Cqrs, 4_000)] {
            for callers in CALLERS {
                let key = Key {
                    backend: Backend::Sqlite,
                    work: APPEND.to_owned(),
                    callers,
                    subject: subject.name().to_owned(),
                };
                let line = format!("{{\"events\":{rate},\"seconds\":1}}");
                results.rounds.insert(key, vec![Measurement::read(&line).unwrap()]);
            }
        }
        let svg = append_rates(&results, &[Backend::Sqlite, Backend::Postgres]).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("40,000") && svg.contains("cqrs-es"), "{svg}");
        assert!(!svg.contains("UmaDB"), "nothing was measured of it");
    }
}
