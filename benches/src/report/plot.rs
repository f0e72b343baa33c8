//! The same as pictures: of each backend how many operations a second, by whom; and how operations change with the number of events.

use plotters::prelude::*;

use crate::line::{Figures, Line, Scale, Workload};

/// Whose bars have which colour; others are grey.
const COLOURS: [(&str, RGBColor); 6] = [
    ("by hand", RGBColor(0xb0, 0xb7, 0xc3)),
    ("Nexus", RGBColor(0x1f, 0x6f, 0xb4)),
    ("cqrs-es", RGBColor(0xe0, 0x8e, 0x2b)),
    ("disintegrate", RGBColor(0x6a, 0x9f, 0x4f)),
    ("evento", RGBColor(0xa9, 0x5a, 0xa1)),
    ("esrs", RGBColor(0xb8, 0x50, 0x42)),
];

/// Workloads that peers have, too.
const COMPARED: [&str; 7] = [
    "sequential commands",
    "64 concurrent commands",
    "hot stream, 1,000 events",
    "hot stream, 1,000 events, snapshots",
    "load 1,000 events",
    "append 100 in one commit",
    "replay 200,000 events",
];

/// Each by the name of its file.
pub(super) fn all(read: impl Fn(&str) -> anyhow::Result<Vec<Line>>) -> anyhow::Result<Vec<(String, String)>> {
    let mut plots = Vec::new();
    let peers = read("peers")?;
    for (file, backend) in [("sqlite", "SQLite"), ("postgres", "PostgreSQL")] {
        let lines = read(file)?;
        if !lines.is_empty() {
            plots.push((format!("{file}.svg"), throughput(backend, &lines, &peers)?));
        }
        let scales = read(&format!("scale-{file}"))?;
        // A line needs two points.
        if scales.iter().filter_map(Line::scale).count() > 1 {
            plots.push((format!("scale-{file}.svg"), scale(backend, &scales)?));
        }
    }
    Ok(plots)
}

/// A bar of a workload.
struct Bar<'a> {
    of: &'a str,
    per_second: f64,
}

fn bars<'a>(workload: &str, backend: &str, nexus: &'a [Line], peers: &'a [Line]) -> Vec<Bar<'a>> {
    let named = |lines: &'a [Line]| {
        lines
            .iter()
            .filter_map(Line::workload)
            .filter(move |one| one.workload == workload && one.backend == backend)
    };
    let bar = |of: &'a str, figures: Option<&Figures>| Some(Bar { of, per_second: figures?.per_second });
    let mut bars = Vec::new();
    for Workload { figures, beside, .. } in named(nexus) {
        bars.extend(bar("by hand", beside.as_ref()));
        bars.extend(bar("Nexus", figures.as_ref()));
    }
    for peer in named(peers) {
        bars.extend(bar(&peer.library, peer.figures.as_ref()));
    }
    bars
}

fn throughput(backend: &str, nexus: &[Line], peers: &[Line]) -> anyhow::Result<String> {
    const ROW: u32 = 18;
    let groups = COMPARED.map(|workload| (workload, bars(workload, backend, nexus, peers)));
    let rows: u32 = groups.iter().map(|(_, bars)| u32::try_from(bars.len()).unwrap_or(0) + 2).sum();
    let largest = groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.per_second).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, rows * ROW + 70)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("{backend}: operations a second, more is better"), ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(30)
            .build_cartesian_2d((1.0..largest * 8.0).log_scale(), f64::from(rows)..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_label_formatter(&|rate| format!("{rate:.0}"))
            .label_style(("sans-serif", 12))
            .draw()?;
        let mut row = 0.0;
        for (workload, bars) in &groups {
            chart.draw_series([Text::new(
                (*workload).to_owned(),
                (1.05, row + 0.35),
                ("sans-serif", 13).into_font(),
            )])?;
            row += 1.0;
            for Bar { of, per_second } in bars {
                let colour = COLOURS
                    .iter()
                    .find(|(name, _)| name == of)
                    .map_or(RGBColor(0x88, 0x88, 0x88), |found| found.1);
                chart.draw_series([Rectangle::new(
                    [(1.0, row + 0.1), (*per_second, row + 0.9)],
                    colour.filled(),
                )])?;
                let label = format!("{of}  {per_second:.0}");
                chart.draw_series([Text::new(
                    label,
                    (per_second * 1.1, row + 0.2),
                    ("sans-serif", 12).into_font(),
                )])?;
                row += 1.0;
            }
            row += 1.0;
        }
        area.present()?;
    }
    Ok(svg)
}

/// How an operation is found in a line of the table.
type Operation = (&'static str, fn(&Scale) -> &Figures, RGBColor);

fn scale(backend: &str, lines: &[Line]) -> anyhow::Result<String> {
    let scales: Vec<&Scale> = lines.iter().filter_map(Line::scale).collect();
    let operations: [Operation; 3] = [
        ("append", |scale| &scale.append, RGBColor(0x1f, 0x6f, 0xb4)),
        ("decision over two tags", |scale| &scale.decision, RGBColor(0xe0, 0x8e, 0x2b)),
        ("load 1,000 events", |scale| &scale.load, RGBColor(0x6a, 0x9f, 0x4f)),
    ];
    let millis = |figures: &Figures| figures.median_micros.map_or(0.0, |micros| micros as f64 / 1e3);
    let events = |scale: &Scale| scale.events as f64;
    let first = scales.iter().map(|scale| events(scale)).fold(f64::INFINITY, f64::min);
    let last = scales.iter().map(|scale| events(scale)).fold(1.0, f64::max);
    let highest =
        scales.iter().flat_map(|scale| operations.map(|(_, of, _)| millis(of(scale)))).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (700, 380)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(
                format!("{backend}: median milliseconds by the number of events stored"),
                ("sans-serif", 16),
            )
            .margin(12)
            .margin_right(40)
            .x_label_area_size(30)
            .y_label_area_size(50)
            .build_cartesian_2d((first..last).log_scale(), (0.05..highest * 2.0).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|events| format!("{events:.0}"))
            .y_label_formatter(&|millis| format!("{millis:.1}"))
            .label_style(("sans-serif", 12))
            .draw()?;
        for (name, of, colour) in operations {
            let points = scales.iter().map(|scale| (events(scale), millis(of(scale))));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(("sans-serif", 12))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}
