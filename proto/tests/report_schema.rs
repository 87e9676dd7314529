//! The published JSON Schema of the report is the one that the types give.
//!
//! `UPDATE_SCHEMA=1 cargo test -p onlyhere-proto --test report_schema` writes it anew.

use std::{env, fs, path::Path};

#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.schema.json");
    let mut schema = schemars::schema_for!(onlyhere_proto::Report);
    schema.insert("title".into(), "Onlyhere report".into());
    schema.insert("$id".into(), onlyhere_proto::REPORT_SCHEMA.into());
    let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "docs/report.schema.json is not up to date; run this test with UPDATE_SCHEMA=1"
    );
}
