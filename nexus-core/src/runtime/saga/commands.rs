//! The commands that a saga has declared, by the names they are stored under.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::domain::{Command, CommandHandler, SagaCommands};
use crate::port::{CommandRefusal, EventStore};
use crate::runtime::{CommandOptions, ExecuteError, Receipt, Repository, RepositoryError, telemetry};
use crate::vocabulary::{Payload, Remedy, StreamId};

/// A repository, whatever its store is.
pub(super) type Aggregates = Repository<Arc<dyn EventStore>>;

type Send = for<'a> fn(
    &'a Aggregates,
    StreamId,
    &'a Payload,
    CommandOptions,
) -> BoxFuture<'a, Result<Receipt, NotDone>>;

/// How each is sent.
#[derive(Default)]
pub(super) struct Commands(HashMap<(&'static str, &'static str), (u32, Send)>);

/// Why a command was not carried out.
#[derive(Debug)]
pub(super) enum NotDone {
    Refused(String),
    Void,
    /// It may be another time; or it was carried out, and nobody knows.
    Unavailable(String),
    Impossible(String),
}

impl SagaCommands for Commands {
    fn declare<A, C>(&mut self) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.0.insert((A::CATEGORY, C::NAME), (C::VERSION, send::<A, C>));
        self
    }
}

impl Commands {
    /// How to send a command of this name to an aggregate of this category.
    pub(super) fn find(&self, category: &str, name: &str, version: u32) -> Result<Send, String> {
        match self.0.get(&(category, name)) {
            Some((known, send)) if *known == version => Ok(*send),
            Some((known, _)) => Err(format!(
                "command {name} for {category} is of version {version}, and this code knows version {known}"
            )),
            None => {
                let mut known: Vec<String> =
                    self.0.keys().map(|(category, name)| format!("{name} for {category}")).collect();
                known.sort();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(format!(
                    "command {name} for {category} is not declared by the saga; declared are: {known}"
                ))
            }
        }
    }
}

fn send<'a, A, C>(
    aggregates: &'a Aggregates,
    stream: StreamId,
    content: &'a Payload,
    options: CommandOptions,
) -> BoxFuture<'a, Result<Receipt, NotDone>>
where
    A: CommandHandler<C>,
    C: Command,
{
    async move {
        let command: C = content.decode().map_err(|error| {
            NotDone::Impossible(format!("a stored command {} does not fit its type: {error}", C::NAME))
        })?;
        let sent = aggregates.execute_in::<A, C>(Ok(stream), command, options).await;
        sent.map_err(|error| match error {
            ExecuteError::Rejected(rejection) => NotDone::Refused(telemetry::chain(&rejection)),
            ExecuteError::Failed(RepositoryError::Voided { .. }) => NotDone::Void,
            ExecuteError::Failed(RepositoryError::Guarded(refusal @ CommandRefusal::Refused { .. })) => {
                NotDone::Refused(telemetry::chain(&refusal))
            }
            ExecuteError::Failed(error) => failed(&error),
        })
    }
    .boxed()
}

/// What it means for a step that a repository failed.
pub(super) fn failed(error: &RepositoryError) -> NotDone {
    let may_pass = match error {
        RepositoryError::Contended { .. } | RepositoryError::Guarded(CommandRefusal::Unavailable { .. }) => {
            true
        }
        RepositoryError::Store(error) => matches!(error.remedy(), Remedy::Retry | Remedy::Reload),
        _ => false,
    };
    let error = telemetry::chain(error);
    if may_pass { NotDone::Unavailable(error) } else { NotDone::Impossible(error) }
}
