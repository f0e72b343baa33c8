use std::collections::HashMap;

/// What is done about an event or a command that does not fit its schema, or has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Enforcement {
    /// It is refused. The default.
    #[default]
    Enforce,
    /// It is let through, with a warning (`tracing`) and a count (`nexus_schema_violations_total`): to find out what would be
    /// refused.
    Warn,
    /// It is not looked at.
    Off,
}

impl Enforcement {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }
}

/// What is enforced where.
#[derive(Clone, Debug, Default)]
pub(super) struct Enforcements {
    pub(super) otherwise: Enforcement,
    pub(super) categories: HashMap<String, Enforcement>,
}

impl Enforcements {
    /// What belongs to Nexus itself has no schema.
    pub(super) fn of(&self, category: &str) -> Enforcement {
        if category.starts_with('$') {
            return Enforcement::Off;
        }
        self.categories.get(category).copied().unwrap_or(self.otherwise)
    }
}
