//! The rows of the table: all scopes, and all exit codes.

/// A fault, and what is asked while it lasts.
pub(super) struct Scene {
    /// The scenario that makes the fault.
    pub(super) scenario: &'static str,
    pub(super) rows: &'static [Row],
}

/// One way of asking.
pub(super) struct Row {
    /// For the table.
    pub(super) label: &'static str,
    /// Instead of the scenario's.
    pub(super) target: Option<&'static str>,
    /// Further arguments.
    pub(super) args: &'static [&'static str],
    pub(super) exit: i32,
    /// None: there is no verdict.
    pub(super) scope: Option<&'static str>,
    pub(super) way: Way,
}

pub(super) enum Way {
    /// Checked, and the report judged again.
    Check,
    /// Checked, and there is no report.
    NoVerdict,
    /// Judged again, with a standard output that takes nothing.
    FullDisk,
}

const fn scope(label: &'static str, exit: i32) -> Row {
    Row {
        label,
        target: None,
        args: &[],
        exit,
        scope: Some(label),
        way: Way::Check,
    }
}

const fn failure(label: &'static str, exit: i32, args: &'static [&'static str]) -> Row {
    Row {
        label,
        target: None,
        args,
        exit,
        scope: None,
        way: Way::NoVerdict,
    }
}

/// Scopes in the order of their exit codes.
pub(super) const SCENES: &[Scene] = &[
    Scene {
        scenario: "all-fine",
        rows: &[
            scope("ok", 0),
            Row {
                label: "--require-vantages 50",
                args: &["--require-vantages", "50"],
                exit: 17,
                ..scope("ok", 17)
            },
            Row {
                label: "a full disk",
                scope: None,
                way: Way::FullDisk,
                ..scope("", 1)
            },
            Row {
                target: Some("http://"),
                ..failure("no target", 2, &[])
            },
        ],
    },
    Scene {
        scenario: "own-firewall-icmp",
        rows: &[scope("local", 10)],
    },
    Scene {
        scenario: "ban-without-sibling",
        rows: &[scope("source", 11)],
    },
    Scene {
        scenario: "ban",
        rows: &[
            scope("source_address", 12),
            Row {
                label: "--fail-on global",
                args: &["--fail-on", "global"],
                exit: 0,
                ..scope("source_address", 0)
            },
        ],
    },
    Scene {
        scenario: "provider-banned",
        rows: &[scope("source_network", 13)],
    },
    Scene {
        scenario: "europe-shut-out",
        rows: &[scope("regional", 14)],
    },
    Scene {
        scenario: "one-address-refuses",
        rows: &[scope("target_address", 15)],
    },
    Scene {
        scenario: "service-down",
        rows: &[scope("global", 16)],
    },
    Scene {
        scenario: "alone-and-refused",
        rows: &[
            scope("inconclusive", 17),
            failure("--require-coordinator", 3, &["--require-coordinator"]),
        ],
    },
];
