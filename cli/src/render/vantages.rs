//! The list of vantages for people.

use onlyhere_proto::Vantage;

use super::{
    page::Page,
    style::{DIM, PLAIN},
    table,
};

/// Draws vantages a line each.
pub fn list(vantages: &[Vantage], width: usize) -> String {
    let mut page = Page::new(width);
    if vantages.is_empty() {
        page.paragraph(
            "",
            PLAIN,
            0,
            "No vantage is attached that the selector matches.",
            PLAIN,
        );
        return page.finish();
    }
    table::who(&mut page, vantages);
    page.gap();
    let count = match vantages.len() {
        1 => "1 vantage".to_owned(),
        n => format!("{n} vantages"),
    };
    page.paragraph("", PLAIN, 0, &count, DIM);
    page.finish()
}
