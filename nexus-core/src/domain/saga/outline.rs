use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::{Saga, StepList};
use crate::domain::{Command, CommandHandler};

/// The steps of a saga, to be drawn: see [`mermaid`](Self::mermaid).
///
/// That of a [`LinearSaga`](super::LinearSaga) is taken from its steps; for a saga of your own say it in
/// [`Saga::outline`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaOutline {
    name: String,
    groups: Vec<Vec<Step>>,
    joins: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    name: String,
    act: String,
    compensation: Option<String>,
}

impl SagaOutline {
    /// The outline of a saga of this name; without steps so far.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), groups: Vec::new(), joins: false }
    }

    /// The outline of `S`.
    pub fn of<S: Saga>() -> Self {
        S::outline()
    }

    /// With one more step, after those before it; `does` says what it does, `undoes` what compensates it.
    #[must_use]
    pub fn step(mut self, name: &str, does: &str, undoes: Option<&str>) -> Self {
        self.add(name, does.to_owned());
        self.undo(|| undoes.map(str::to_owned));
        self
    }

    /// The step to come is taken at the same time as the one before.
    #[must_use]
    pub fn alongside(self) -> Self {
        Self { joins: true, ..self }
    }

    /// A flow chart as [Mermaid](https://mermaid.js.org) text, which forges and documentation tools draw: the steps in their
    /// order, and dotted what compensates them, in the order it comes.
    ///
    /// ```
    /// use nexus_core::SagaOutline;
    ///
    /// let outline = SagaOutline::new("fulfilment")
    ///     .step("reserve", "Reserve", Some("Release"))
    ///     .step("ship", "Ship", None);
    /// assert_eq!(outline.mermaid(), "flowchart TD
    ///     start([fulfilment]) --> reserve
    ///     reserve[\"reserve: Reserve\"] --> ship
    ///     ship[\"ship: Ship\"] --> done([completed])
    ///     ship -. fails .-> undo_reserve
    ///     reserve -. fails .-> undone
    ///     undo_reserve[\"undo reserve: Release\"] -.-> undone([compensated])
    /// ");
    /// ```
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        let ids =
            |group: &[Step]| group.iter().map(|step| identifier(&step.name)).collect::<Vec<_>>().join(" & ");
        let first = self.groups.first().map_or_else(|| "done([completed])".to_owned(), |group| ids(group));
        line(&mut text, format_args!("start([{}]) --> {first}", label(&self.name)));
        for (index, group) in self.groups.iter().enumerate() {
            let is_last = index + 1 == self.groups.len();
            let next = self.groups.get(index + 1).map_or_else(|| "done".to_owned(), |next| ids(next));
            for (place, step) in group.iter().enumerate() {
                let end = if is_last && place == 0 { "done([completed])" } else { &next };
                let (id, name, act) = (identifier(&step.name), label(&step.name), label(&step.act));
                line(&mut text, format_args!("{id}[\"{name}: {act}\"] --> {end}"));
            }
        }
        self.draw_compensations(&mut text);
        text
    }

    fn draw_compensations(&self, text: &mut String) {
        if self.groups.is_empty() {
            return;
        }
        // What is undone first when a step of this group fails.
        let before = |index: usize| {
            let undone = self.groups[..index].iter().rev().flat_map(|group| group.iter().rev());
            undone.clone().find(|step| step.compensation.is_some()).map(|step| undo(&step.name))
        };
        for (index, group) in self.groups.iter().enumerate().rev() {
            for step in group {
                let next = before(index).unwrap_or_else(|| "undone".to_owned());
                line(text, format_args!("{} -. fails .-> {next}", identifier(&step.name)));
            }
        }
        let all: Vec<&Step> =
            self.groups.iter().flatten().filter(|step| step.compensation.is_some()).collect();
        for (index, step) in all.iter().enumerate().rev() {
            let next = index.checked_sub(1).map(|before| undo(&all[before].name));
            let next = next.unwrap_or_else(|| "undone([compensated])".to_owned());
            let (id, name) = (undo(&step.name), label(&step.name));
            let compensation = label(step.compensation.as_deref().unwrap_or_default());
            line(text, format_args!("{id}[\"undo {name}: {compensation}\"] -.-> {next}"));
        }
    }

    fn add(&mut self, name: &str, act: String) {
        let step = Step { name: name.to_owned(), act, compensation: None };
        match self.groups.last_mut() {
            Some(group) if std::mem::take(&mut self.joins) => group.push(step),
            _ => self.groups.push(vec![step]),
        }
    }

    fn undo(&mut self, compensation: impl FnOnce() -> Option<String>) {
        if let Some(step) = self.groups.last_mut().and_then(|group| group.last_mut()) {
            step.compensation = compensation();
        }
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "    {line}");
}

/// A name for a node, whatever the step's name is.
fn identifier(name: &str) -> String {
    name.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect()
}

fn undo(name: &str) -> String {
    format!("undo_{}", identifier(name))
}

/// What Mermaid takes as text between quotation marks.
fn label(text: &str) -> String {
    text.replace('"', "#quot;").replace(['\n', '\r', '[', ']', '(', ')'], " ")
}

impl<S> StepList<S> for SagaOutline {
    fn step<A, C>(&mut self, name: &str, _: impl Fn(&S) -> (A::Id, C)) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.add(name, format!("{} to {}", C::NAME, A::CATEGORY));
        self
    }

    fn effect<T: Serialize>(&mut self, name: &str, effect: &str, _: impl Fn(&S) -> T) -> &mut Self {
        self.add(name, effect.to_owned());
        self
    }

    fn alongside(&mut self) -> &mut Self {
        self.joins = true;
        self
    }

    fn compensate<A, C>(&mut self, _: impl Fn(&S) -> (A::Id, C)) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.undo(|| Some(format!("{} to {}", C::NAME, A::CATEGORY)));
        self
    }

    fn compensate_by_effect<T: Serialize>(&mut self, effect: &str, _: impl Fn(&S) -> T) -> &mut Self {
        self.undo(|| Some(effect.to_owned()));
        self
    }

    fn timeout(&mut self, _: Duration) -> &mut Self {
        self
    }
}
