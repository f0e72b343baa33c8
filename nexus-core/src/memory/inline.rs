use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt;

use super::projections::{SpaceContents, Transaction};
use crate::domain::{Projection, ProjectionError};
use crate::port::DocumentTx;
use crate::vocabulary::{Collection, DocumentKey, Payload, Query, RecordedEvent, StoreError};

/// Projections that are written with each append, or the append is refused.
#[derive(Default)]
pub(super) struct Inline {
    projections: Vec<Named>,
    contents: Arc<SpaceContents>,
}

/// What a projection says of itself is asked for once.
struct Named {
    name: String,
    query: Query,
    projection: Box<dyn Projection<DocumentTx>>,
}

impl Inline {
    /// Adds one, and has it take in what is there.
    pub(super) fn add<'a>(
        &mut self,
        projection: Box<dyn Projection<DocumentTx>>,
        events: impl Iterator<Item = &'a RecordedEvent>,
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::new(Arc::clone(&self.contents));
        let mut named = Named { name: projection.name().to_owned(), query: projection.query(), projection };
        let prepared = at_once(|| named.projection.prepare(&mut transaction).now_or_never());
        prepared.map_err(|error| refused(&named.name, error))?;
        named.take(events, &mut transaction)?;
        transaction.commit();
        self.projections.push(named);
        Ok(())
    }

    /// Takes events into all read models, or into none.
    pub(super) fn take(&mut self, events: &[RecordedEvent]) -> Result<(), StoreError> {
        let mut transaction = Transaction::new(Arc::clone(&self.contents));
        for named in &mut self.projections {
            named.take(events.iter(), &mut transaction)?;
        }
        transaction.commit();
        Ok(())
    }

    pub(super) fn document(&self, collection: &Collection, key: &DocumentKey) -> Option<Payload> {
        self.contents.document(collection, key)
    }
}

impl Named {
    fn take<'a>(
        &mut self,
        events: impl Iterator<Item = &'a RecordedEvent>,
        transaction: &mut Transaction,
    ) -> Result<(), StoreError> {
        self.projection.begin();
        for event in events.filter(|event| self.query.matches(event)) {
            at_once(|| self.projection.handle(event, transaction).now_or_never())
                .map_err(|error| refused(&self.name, error))?;
        }
        at_once(|| self.projection.finish(transaction).now_or_never())
            .map_err(|error| refused(&self.name, error))
    }
}

fn refused(name: &str, error: ProjectionError) -> StoreError {
    StoreError::Refused { by: format!("the inline projection {name}"), source: error.into_source() }
}

/// All appends wait while an inline projection is written: it may wait for nothing itself.
fn at_once(work: impl FnOnce() -> Option<Result<(), ProjectionError>>) -> Result<(), ProjectionError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Some(done)) => done,
        Ok(None) => {
            Err(ProjectionError::new("an inline projection may wait for nothing but its transaction"))
        }
        Err(_) => Err(ProjectionError::new("panicked")),
    }
}
