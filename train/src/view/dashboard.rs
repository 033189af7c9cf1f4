//! A run's progress drawn on a terminal.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::symbols::{self, Marker};
use ratatui::text::{Line, Span};
use ratatui::widgets::{self, Block, Chart, GraphType, LineGauge, Paragraph};
use seg_report::Axis;

use crate::run::record::EpochRecord;
use crate::view::duration::duration;
use crate::view::progress::Progress;

/// The smallest area that curves are drawn in.
const CURVES_MIN: (u16, u16) = (48, 8);
/// The lines of messages.
const MESSAGES: u16 = 4;

const DIM: Style = Style::new().add_modifier(Modifier::DIM);

/// Draws a run's progress at a time; what is too small for curves shows figures only.
pub fn draw(progress: &Progress, now: Duration, frame: &mut Frame<'_>) {
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(2),
        Constraint::Length(2),
        Constraint::Length(MESSAGES + 1),
        Constraint::Length(1),
    ]);
    let [title, curves, bars, figures, messages, keys] = rows.areas(frame.area());
    draw_title(progress, frame, title);
    if curves.width >= CURVES_MIN.0 && curves.height >= CURVES_MIN.1 {
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(curves);
        draw_losses(progress, frame, left);
        draw_scores(progress, frame, right);
    }
    draw_bars(progress, now, frame, bars);
    draw_figures(progress, frame, figures);
    let newest = progress.messages.iter().rev().take(usize::from(MESSAGES)).rev();
    let lines: Vec<Line<'_>> = newest.map(|message| Line::styled(message.as_str(), DIM)).collect();
    frame.render_widget(
        Paragraph::new(lines).block(Block::new().borders(widgets::Borders::TOP).border_style(DIM)),
        messages,
    );
    frame.render_widget(
        Line::styled("Ctrl-C stops after this step; all of it is kept, and --resume goes on from there", DIM),
        keys,
    );
}

fn draw_title(progress: &Progress, frame: &mut Frame<'_>, area: Rect) {
    let epoch = format!("epoch {} of {} ", progress.epoch(), progress.epochs);
    let device = format!("{} · ", progress.device);
    frame.render_widget(Line::from(progress.title.as_str().bold()), area);
    frame.render_widget(Line::from(vec![device.dim(), epoch.bold()]).right_aligned(), area);
}

fn draw_losses(progress: &Progress, frame: &mut Frame<'_>, area: Rect) {
    let per_epoch: Vec<_> = progress.records.iter().map(|record| (record.epoch as f64, record.loss)).collect();
    let curves = [
        Curve { name: "step", points: progress.losses(), color: Color::DarkGray, marker: Marker::Dot },
        Curve { name: "epoch", points: &per_epoch, color: Color::Yellow, marker: Marker::Braille },
    ];
    draw_curves("loss", &curves, progress.epochs, frame, area);
}

fn draw_scores(progress: &Progress, frame: &mut Frame<'_>, area: Rect) {
    let dice = EpochRecord::points(&progress.records, EpochRecord::dice);
    let iou = EpochRecord::points(&progress.records, |record| {
        let validation = record.validation.as_ref()?;
        Some(validation.scores.mean_iou_pooled)
    });
    let curves = [
        Curve { name: "mean IoU", points: &iou, color: Color::Blue, marker: Marker::Dot },
        Curve { name: "Dice", points: &dice, color: Color::Green, marker: Marker::Braille },
    ];
    draw_curves("validation", &curves, progress.epochs, frame, area);
}

/// One line of a chart.
struct Curve<'a> {
    name: &'static str,
    points: &'a [(f64, f64)],
    color: Color,
    marker: Marker,
}

fn draw_curves(title: &str, curves: &[Curve<'_>], epochs: usize, frame: &mut Frame<'_>, area: Rect) {
    let ticks = usize::from(area.height / 4);
    let axis = Axis::spanning(curves.iter().flat_map(|curve| curve.points).map(|point| point.1), ticks);
    let labels: Vec<String> = axis.ticks.iter().map(|tick| axis.label(*tick)).collect();
    let datasets = curves.iter().map(|curve| {
        // A line needs two points to be seen.
        let graph = if curve.points.len() > 1 { GraphType::Line } else { GraphType::Scatter };
        let marker = if curve.points.len() > 1 { curve.marker } else { Marker::Dot };
        widgets::Dataset::default().data(curve.points).graph_type(graph).marker(marker).fg(curve.color)
    });
    let mut heading = vec![Span::from(format!(" {title} ")).bold()];
    heading.extend(curves.iter().map(|curve| Span::styled(format!(" {} ", curve.name), curve.color)));
    let x = widgets::Axis::default()
        .bounds([0.0, epochs as f64])
        .labels(["0".to_owned(), format!("{epochs} epochs")])
        .style(DIM);
    let y = widgets::Axis::default().bounds([axis.low(), axis.high()]).labels(labels).style(DIM);
    let block = Block::bordered().border_style(DIM).title(Line::from(heading));
    frame.render_widget(Chart::new(datasets.collect()).block(block).x_axis(x).y_axis(y).legend_position(None), area);
}

fn draw_bars(progress: &Progress, now: Duration, frame: &mut Frame<'_>, area: Rect) {
    let [epoch, run] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let (step, steps) = (progress.step_in_epoch(), progress.steps_per_epoch());
    let doing = if step == steps { "validating".into() } else { format!("step {step} of {steps}") };
    let left = progress.left(now).map_or_else(|| "…".into(), |left| duration(left.as_secs_f64()));
    let whole = format!("run    {} gone, {left} left", duration(now.as_secs_f64()));
    for (label, done, all, color, area) in [
        (format!("epoch  {doing}"), step, steps, Color::Cyan, epoch),
        (whole, progress.step, progress.steps, Color::Green, run),
    ] {
        let share = (done as f64 / all.max(1) as f64).clamp(0.0, 1.0);
        let bar = LineGauge::default()
            .label(format!("{label:<38} {:>3.0} %", 100.0 * share))
            .ratio(share)
            .filled_symbol(symbols::line::THICK_HORIZONTAL)
            .unfilled_symbol(symbols::line::HORIZONTAL)
            .filled_style(color)
            .unfilled_style(DIM);
        frame.render_widget(bar, area);
    }
}

fn draw_figures(progress: &Progress, frame: &mut Frame<'_>, area: Rect) {
    let last = progress.records.last();
    let mut figures = Vec::new();
    for (name, value) in [
        ("loss", progress.losses().last().map(|(_, loss)| format!("{loss:.4}"))),
        ("images/s", progress.images_per_second().map(|speed| format!("{speed:.1}"))),
        ("waiting", last.map(|record| format!("{:.0} %", 100.0 * record.waiting))),
        ("learning rate", last.map(|record| format!("{:.1e}", record.learning_rate))),
        ("memory", last.and_then(|record| record.peak_memory).map(|bytes| format!("{} MiB", bytes >> 20))),
    ] {
        if let Some(value) = value {
            figures.extend([Span::styled(format!("{name} "), DIM), Span::from(format!("{value}   "))]);
        }
    }
    let best = progress.best().and_then(|best| Some((best.epoch, best.validation.as_ref()?)));
    let best = best.map_or_else(
        || Line::styled("best   none yet: the first epoch is going on", DIM),
        |(epoch, validation)| {
            let scores = &validation.scores;
            let text = format!(
                "Dice {:.4}   mean IoU {:.4}   accuracy {:.4}",
                scores.dice_per_image, scores.mean_iou_pooled, scores.accuracy_pooled
            );
            Line::from(vec![Span::styled(format!("best   epoch {epoch}   "), DIM), text.bold()])
        },
    );
    frame.render_widget(Paragraph::new(vec![best, Line::from(figures)]), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::view::progress::tests::after;

    /// Draws the screen after some steps of a second each.
    fn screen(steps: usize, (width, height): (u16, u16)) -> String {
        let mut progress = after(steps);
        progress.say("writing events");
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let now = Duration::from_secs(steps as u64);
        terminal.draw(|frame| draw(&progress, now, frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_shows_what_a_person_asks_for() {
        for (name, steps, parts) in [
            ("at the start", 0, ["epoch 1 of 4", "step 0 of 10", "none yet", "… left"]),
            ("in an epoch", 14, ["epoch 2 of 4", "step 4 of 10", "images/s 8.0", "26 s left"]),
            ("with a best epoch", 23, ["runs/nuclei", "best   epoch 2   Dice 0.3000", "waiting 25 %", "Ctrl-C"]),
            (
                "at the end",
                40,
                ["epoch 4 of 4", "epoch 3: loss 0.7000, Dice 0.3000, 3 s, the best so far", "100 %", "writing events"],
            ),
        ] {
            let screen = screen(steps, (100, 30));
            for part in parts {
                assert!(screen.contains(part), "{name}: no {part:?} in\n{screen}");
            }
        }
    }

    #[test]
    fn curves_are_drawn_where_there_is_room() {
        let is_braille = |c: char| ('\u{2801}'..='\u{28ff}').contains(&c);
        for (name, size, curves) in [("a wide screen", (100, 30), true), ("a low one", (100, 12), false)] {
            let screen = screen(23, size);
            assert_eq!(screen.contains(is_braille), curves, "{name}:\n{screen}");
            assert!(screen.contains("epoch 3 of 4"), "{name}:\n{screen}");
        }
        // However small, nothing panics.
        for side in 1..20 {
            screen(23, (side * 3, side));
        }
    }
}
