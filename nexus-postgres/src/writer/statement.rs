//! The statement for a group of plain appends, with only those parts that the group needs: each part costs all its calls.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use nexus_core::{AppendBatch, ExpectedVersion};

use crate::schema::{Schema, Sql};

/// What a group needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Streams may have to be made.
    makes: bool,
    /// Streams may be there.
    meets: bool,
    /// No version is expected, so that nothing but its ids shows a repeat.
    is_open: bool,
    pub(super) has_tags: bool,
    /// An append has several events.
    has_several: bool,
    /// Streams that somebody else has locked are passed over, so that one does not hold up all.
    skips_locked: bool,
}

impl Shape {
    /// What is needed for this one, too.
    #[must_use]
    pub(super) fn with(mut self, batch: &AppendBatch) -> Self {
        for part in batch.parts() {
            let (makes, meets) = match part.expected() {
                ExpectedVersion::NoStream => (true, false),
                ExpectedVersion::Exact(_) => (false, true),
                ExpectedVersion::Any => (true, true),
                ExpectedVersion::StreamExists => (false, true),
            };
            self.makes |= makes;
            self.meets |= meets;
            self.is_open |= matches!(part.expected(), ExpectedVersion::Any | ExpectedVersion::StreamExists);
            self.has_tags |= part.events().iter().any(|event| !event.tags().is_empty());
        }
        self.has_several |= batch.len() > 1;
        self
    }

    /// Whether the plainer statement will do: see `lean.sql`.
    pub(super) fn is_lean(self) -> bool {
        self.makes != self.meets && !self.is_open && !self.has_tags && !self.has_several
    }

    /// The same, passing over what somebody else has locked.
    #[must_use]
    pub(super) fn skipping_locked(self) -> Self {
        Self { skips_locked: true, ..self }
    }

    /// The same, for streams of which more is known than what is expected of them: one may have been locked before.
    #[must_use]
    pub(super) fn complete(self) -> Self {
        Self { makes: true, meets: true, ..self }
    }
}

/// The statements by their shapes, made as they are needed.
#[derive(Debug)]
pub(super) struct Statements {
    schema: Schema,
    made: Mutex<HashMap<Shape, Sql>>,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        Self { schema: schema.clone(), made: Mutex::default() }
    }

    pub(super) fn of(&self, shape: Shape) -> Sql {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(shape).or_insert_with(|| self.schema.sql(&text(shape))).clone()
    }
}

/// The parts between markers that name what a shape has to be for them.
fn text(shape: Shape) -> String {
    let mut text = String::new();
    let mut is_in = true;
    let template = if shape.is_lean() { include_str!("lean.sql") } else { include_str!("group.sql") };
    for line in template.lines() {
        match line.trim().strip_prefix("--if ") {
            Some("") => is_in = true,
            Some(condition) => is_in = condition.split(' ').all(|one| holds(shape, one)),
            None if line.trim() == "--end" => is_in = true,
            None if is_in && !line.trim_start().starts_with("--") => {
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    let skip = if shape.skips_locked { "SKIP LOCKED" } else { "" };
    text.replace(":marker", include_str!("marker.sql").trim()).replace(":skip", skip)
}

fn holds(shape: Shape, condition: &str) -> bool {
    match condition {
        "makes" => shape.makes,
        "!makes" => !shape.makes,
        "meets" => shape.meets,
        "!meets" => !shape.meets,
        "open" => shape.is_open,
        "tags" => shape.has_tags,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_in_the_text_is_known() {
        let known = ["makes", "!makes", "meets", "!meets", "open", "tags"];
        for line in include_str!("group.sql").lines().chain(include_str!("lean.sql").lines()) {
            if let Some(conditions) = line.trim().strip_prefix("--if ") {
                assert!(conditions.split(' ').all(|one| known.contains(&one)), "{line}");
            }
        }
    }

    #[test]
    fn a_group_of_new_streams_locks_none() {
        for has_several in [true, false] {
            let makes = text(Shape { makes: true, has_several, ..Shape::default() });
            assert!(
                !makes.contains("FOR UPDATE") && !makes.contains("tags (") && makes.contains("ON CONFLICT")
            );
            let meets = text(Shape { meets: true, skips_locked: true, has_several, ..Shape::default() });
            assert!(meets.contains("FOR UPDATE SKIP LOCKED") && !meets.contains("ON CONFLICT"));
        }
    }
}
