//! How far the log is settled: nothing comes later at or before that position.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use nexus_core::{Position, StoreError};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;

use crate::error::store_error;
use crate::kinds::Kinds;
use crate::schema::{Schema, Sql};

/// So many positions of our own are remembered that wait for others before them.
const REMEMBERED: usize = 1 << 14;

/// What this process knows about the end of the log.
///
/// Positions are drawn before they are committed, so a lower one can become visible after a higher one. Each writer says
/// beforehand, by an advisory lock it holds to its end, above which position it may draw. See `docs/decisions/0005-postgres.md`
/// for why the bound below holds.
#[derive(Debug)]
pub(crate) struct Bound {
    ask: Sql,
    kinds: Arc<Kinds>,
    settled: watch::Sender<Option<Position>>,
    own: Mutex<BTreeSet<Position>>,
}

/// The end of the log, as it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The highest position that is visible.
    pub(crate) visible: Option<Position>,
    /// Up to here nothing comes later.
    pub(crate) settled: Option<Position>,
}

impl End {
    /// Whether a writer holds up what is visible already.
    pub(crate) fn is_held_up(&self) -> bool {
        self.settled < self.visible
    }
}

impl Bound {
    pub(crate) fn new(schema: &Schema, kinds: Arc<Kinds>) -> Self {
        Self {
            ask: schema.sql(include_str!("bound/settled.sql")),
            kinds,
            settled: watch::Sender::new(None),
            own: Mutex::default(),
        }
    }

    /// Everything up to here is settled, as far as this process knows. Who reads it and looks afterwards sees all of it.
    pub(crate) fn known(&self) -> Option<Position> {
        *self.settled.borrow()
    }

    /// Tells whenever more is known.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Position>> {
        self.settled.subscribe()
    }

    /// Asks the database. The kinds of all events up to there are known afterwards.
    pub(crate) async fn ask(&self, connection: &mut PgConnection) -> Result<End, StoreError> {
        let failed = |error| store_error("read the last position", error);
        let row = self.ask.query().fetch_one(&mut *connection).await.map_err(failed)?;
        let position = |column| -> Result<Option<Position>, StoreError> {
            let number: i64 = row.try_get(column).map_err(failed)?;
            let corrupt = |error| StoreError::corrupt("the last position", error);
            if number <= 0 { Ok(None) } else { Position::try_from(number).map(Some).map_err(corrupt) }
        };
        if row.try_get(3).map_err(failed)? {
            // Locks cannot be seen there, and events become visible in another order.
            return Err(failed(sqlx::Error::Io(std::io::Error::other("this server has become a standby"))));
        }
        let end = End { visible: position(0)?, settled: position(1)? };
        // They were committed before the events that have them.
        let kinds: i32 = row.try_get(2).map_err(failed)?;
        if usize::try_from(kinds).is_ok_and(|kinds| kinds > self.kinds.known().count()) {
            self.kinds.loaded(connection).await?;
        }
        self.advance(end.settled);
        // A writer that has begun since may hold up less than is known already.
        Ok(End { settled: end.settled.max(self.known()), ..end })
    }

    fn advance(&self, to: Option<Position>) {
        self.settled.send_if_modified(|known| {
            let is_news = to > *known;
            if is_news {
                *known = to;
            }
            is_news
        });
    }

    /// These positions were just committed by this process. What follows what is settled without a hole is settled, too.
    /// Says whether all of it is.
    pub(crate) fn committed(&self, positions: impl IntoIterator<Item = Position>) -> bool {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.extend(positions);
        let known = self.known();
        let mut next = known.map_or(Position::FIRST, Position::next);
        while let Some(first) = own.first().copied() {
            if first > next {
                break;
            }
            if first == next {
                next = next.next();
            }
            own.pop_first();
        }
        self.advance(next.previous());
        let is_settled = own.is_empty();
        if own.len() > REMEMBERED {
            own.clear();
        }
        is_settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SchemaName;

    fn at(number: u64) -> Position {
        Position::new(number).unwrap()
    }

    #[test]
    fn what_follows_without_a_hole_is_settled() {
        let schema = Schema::new(SchemaName::default());
        let bound = Bound::new(&schema, Arc::new(Kinds::new(&schema)));
        assert!(bound.committed([at(1), at(2)]));
        assert!(!bound.committed([at(4), at(6)]));
        assert_eq!(bound.known(), Some(at(2)));
        assert!(!bound.committed([at(3)]), "5 is somebody else's");
        assert_eq!(bound.known(), Some(at(4)));
        bound.advance(Some(at(9)));
        assert!(bound.committed([at(10)]));
        assert_eq!(bound.known(), Some(at(10)));
    }
}
