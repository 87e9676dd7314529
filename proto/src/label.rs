//! Enums whose values have one stable label, used alike in JSON, on the command line and in metrics.

/// A label that names no value of the enum it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{got}`; known are {known}")]
pub struct UnknownLabel {
    /// What was to be named, such as `scope`.
    pub what: &'static str,
    /// What was given.
    pub got: String,
    /// All known labels, comma-separated.
    pub known: String,
}

/// Declares an enum together with its labels: `ALL`, `label()`, `Display`, `FromStr`, serde and JSON Schema.
macro_rules! labelled {
    ($(#[$meta:meta])* $name:ident ($what:literal) { $($(#[$vmeta:meta])* $variant:ident = $label:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $label)] $variant),+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable label.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.label())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownLabel;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.label() == text).ok_or_else(|| $crate::UnknownLabel {
                    what: $what,
                    got: $crate::limits::plain_text(text, 64),
                    known: Self::ALL.iter().map(|value| value.label()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

pub(crate) use labelled;
