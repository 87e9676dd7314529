//! `onlyhere-probe`: one vantage.

fn main() {}
