use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt;

use super::projections::{SpaceContents, Transaction};
use crate::domain::{Projection, ProjectionError};
use crate::port::DocumentTx;
use crate::vocabulary::{Collection, DocumentKey, Payload, RecordedEvent, StoreError};

/// Projections that are written with each append, or the append is refused.
#[derive(Default)]
pub(super) struct Inline {
    projections: Vec<Box<dyn Projection<DocumentTx>>>,
    contents: Arc<SpaceContents>,
}

impl Inline {
    /// Adds one, and has it take in what is there.
    pub(super) fn add<'a>(
        &mut self,
        mut projection: Box<dyn Projection<DocumentTx>>,
        events: impl Iterator<Item = &'a RecordedEvent>,
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::new(Arc::clone(&self.contents));
        let name = projection.name().to_owned();
        at_once(projection.prepare(&mut transaction)).map_err(|error| refused(&name, error))?;
        take(&mut *projection, events, &mut transaction)?;
        transaction.commit();
        self.projections.push(projection);
        Ok(())
    }

    /// Takes events into all read models, or into none.
    pub(super) fn take(&mut self, events: &[RecordedEvent]) -> Result<(), StoreError> {
        let mut transaction = Transaction::new(Arc::clone(&self.contents));
        for projection in &mut self.projections {
            take(&mut **projection, events.iter(), &mut transaction)?;
        }
        transaction.commit();
        Ok(())
    }

    pub(super) fn document(&self, collection: &Collection, key: &DocumentKey) -> Option<Payload> {
        self.contents.document(collection, key)
    }
}

fn take<'a>(
    projection: &mut dyn Projection<DocumentTx>,
    events: impl Iterator<Item = &'a RecordedEvent>,
    transaction: &mut Transaction,
) -> Result<(), StoreError> {
    let query = projection.query();
    for event in events.filter(|event| query.matches(event)) {
        let name = projection.name().to_owned();
        at_once(projection.handle(event, transaction)).map_err(|error| refused(&name, error))?;
    }
    Ok(())
}

fn refused(name: &str, error: ProjectionError) -> StoreError {
    StoreError::Refused { by: format!("the inline projection {name}"), source: error.into_source() }
}

/// All appends wait while an inline projection is written: it may wait for nothing itself.
fn at_once(work: impl Future<Output = Result<(), ProjectionError>>) -> Result<(), ProjectionError> {
    match catch_unwind(AssertUnwindSafe(|| work.now_or_never())) {
        Ok(Some(done)) => done,
        Ok(None) => {
            Err(ProjectionError::new("an inline projection may wait for nothing but its transaction"))
        }
        Err(_) => Err(ProjectionError::new("panicked")),
    }
}
