//! The table of vantages: who they are, and what each saw over each IP family.

use anstyle::Style;
use onlyhere_proto::{Family, Report, Vantage};

use super::{
    page::{Page, clean, fit, width_of},
    style::{DIM, PLAIN},
    summary::{Cell, cell},
};

/// Between columns.
const GAP: usize = 2;
/// Longest vantage name shown whole.
const NAME: usize = 24;

/// One column: its head, its cells, and how readily it is left out when the page is narrow (0: never).
struct Column {
    head: &'static str,
    cells: Vec<(String, Style)>,
    spare: u8,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|(text, _)| width_of(text));
        cells.max().unwrap_or(0).max(width_of(self.head))
    }
}

/// Draws the vantages of a report and what they saw, a line each.
pub(super) fn outcomes(page: &mut Page, report: &Report) {
    draw(page, seen(report));
}

/// Head and cells of each column of the same table, for forms that draw tables themselves.
pub(super) fn plain(report: &Report) -> Vec<(&'static str, Vec<String>)> {
    let cells = |column: Column| column.cells.into_iter().map(|(text, _)| text).collect();
    seen(report)
        .into_iter()
        .map(|column| (column.head, cells(column)))
        .collect()
}

fn seen(report: &Report) -> Vec<Column> {
    let vantages: Vec<&Vantage> = report.vantages.iter().map(|seen| &seen.vantage).collect();
    let mut columns = identity(&vantages);
    let column = |family, head| {
        let cells = report
            .vantages
            .iter()
            .map(|seen| cell(&report.target, &seen.observations, family));
        let cells: Vec<Cell> = cells.collect();
        let says_something = cells.iter().any(Cell::is_measured);
        let styled = cells
            .into_iter()
            .map(|cell| (clean(&cell.words), cell.mood.style()));
        (
            says_something,
            Column {
                head,
                cells: styled.collect(),
                spare: 0,
            },
        )
    };
    let (v4, v6) = (column(Family::V4, "IPv4"), column(Family::V6, "IPv6"));
    // A family in which nobody saw anything needs no column, unless it would leave none.
    if v4.0 || !v6.0 {
        columns.push(v4.1);
    }
    if v6.0 {
        columns.push(v6.1);
    }
    columns
}

/// Draws vantages by what is known of them.
pub(super) fn who(page: &mut Page, vantages: &[Vantage]) {
    let mut columns = identity(&vantages.iter().collect::<Vec<_>>());
    let text =
        |of: fn(&Vantage) -> String| vantages.iter().map(|v| (clean(&of(v)), PLAIN)).collect();
    columns.push(Column {
        head: "address",
        cells: text(|v| {
            v.public_address
                .map(|address| address.to_string())
                .unwrap_or_default()
        }),
        spare: 0,
    });
    columns.push(Column {
        head: "labels",
        cells: text(|v| {
            v.labels
                .iter()
                .map(|(k, value)| format!("{k}={value}"))
                .collect::<Vec<_>>()
                .join(" ")
        }),
        spare: 4,
    });
    draw(page, columns);
}

/// Name, place, kind and network, as far as any of them is known.
fn identity(vantages: &[&Vantage]) -> Vec<Column> {
    let text =
        |of: &dyn Fn(&Vantage) -> String| vantages.iter().map(|v| (clean(&of(v)), PLAIN)).collect();
    let mut columns = vec![
        Column {
            head: "vantage",
            cells: text(&|v| fit(&clean(&v.name), NAME)),
            spare: 0,
        },
        Column {
            head: "place",
            cells: text(&place),
            spare: 1,
        },
        Column {
            head: "kind",
            cells: text(&|v| v.class.map(|class| class.to_string()).unwrap_or_default()),
            spare: 3,
        },
        Column {
            head: "network",
            cells: text(&|v| v.asn.map(|asn| format!("AS{asn}")).unwrap_or_default()),
            spare: 2,
        },
    ];
    columns.retain(|column| column.cells.iter().any(|(text, _)| !text.is_empty()));
    columns
}

fn place(vantage: &Vantage) -> String {
    match (&vantage.region, &vantage.country) {
        (Some(region), Some(country)) => format!("{region} {country}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => String::new(),
    }
}

fn draw(page: &mut Page, mut columns: Vec<Column>) {
    narrow(&mut columns, page.width());
    let widths: Vec<usize> = columns.iter().map(Column::width).collect();
    let row = |page: &mut Page, cells: Vec<(&str, Style)>| {
        let pads: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|((text, _), width)| " ".repeat(width + GAP - width_of(text)))
            .collect();
        let mut spans = vec![("  ", PLAIN)];
        for ((text, style), pad) in cells.into_iter().zip(&pads) {
            spans.extend([(text, style), (pad.as_str(), PLAIN)]);
        }
        page.line(&spans);
    };
    row(
        page,
        columns.iter().map(|column| (column.head, DIM)).collect(),
    );
    for number in 0..columns.first().map_or(0, |column| column.cells.len()) {
        let cells = columns.iter().filter_map(|column| column.cells.get(number));
        row(
            page,
            cells.map(|(text, style)| (text.as_str(), *style)).collect(),
        );
    }
}

/// Leaves out columns until the rest fits, and cuts the names as the last resort.
fn narrow(columns: &mut Vec<Column>, room: usize) {
    let total = |columns: &[Column]| columns.iter().map(|c| c.width() + GAP).sum::<usize>();
    while total(columns) > room {
        let Some(most_spare) = (0..columns.len())
            .filter(|&i| columns[i].spare > 0)
            .max_by_key(|&i| columns[i].spare)
        else {
            break;
        };
        columns.remove(most_spare);
    }
    let excess = total(columns).saturating_sub(room);
    if let Some(names) = columns.first_mut().filter(|_| excess > 0) {
        let width = names.width().saturating_sub(excess).max(names.head.len());
        for (name, _) in &mut names.cells {
            *name = fit(name, width);
        }
    }
}
