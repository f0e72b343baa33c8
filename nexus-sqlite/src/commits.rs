use nexus_core::{
    Commit, CommittedStream, EventId, Position, StoreError, StreamId, StreamVersion, Timestamp,
};
use rusqlite::{Connection, OptionalExtension};

/// A commit that was found by one of its events.
pub(crate) struct FoundCommit {
    pub(crate) commit: Commit,
    /// Where the event stands that it was found by.
    pub(crate) stream: StreamId,
    pub(crate) version: StreamVersion,
}

/// The commit that stored the event with this id: its rows follow each other, numbered from 0.
pub(crate) fn find_commit(
    connection: &Connection,
    id: EventId,
) -> rusqlite::Result<Option<Result<FoundCommit, StoreError>>> {
    let start: Option<(i64, i64)> = connection
        .prepare_cached("SELECT position, position - place FROM events WHERE id = ?1")?
        .query_row([id.as_bytes().as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((position, start)) = start else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT position, stream, version, id, recorded_at, place FROM events WHERE position >= ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([start])?;
    let mut commit = CommitRows { position, ..CommitRows::default() };
    while let Some(row) = rows.next()? {
        let place: i64 = row.get(5)?;
        if place == 0 && commit.last.is_some() {
            break;
        }
        commit.add(row.get(0)?, &row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
    }
    let corrupt = || StoreError::corrupt(format!("the commit at position {start}"), "its rows are damaged");
    Ok(Some(commit.found().ok_or_else(corrupt)))
}

/// A commit, put together row by row; what cannot be understood makes it damaged.
#[derive(Default)]
struct CommitRows {
    /// Of the event it is found by, whose place is noted when it comes by.
    position: i64,
    found_by: Option<(StreamId, StreamVersion)>,
    streams: Vec<CommittedStream>,
    last: Option<(i64, i64)>,
    damaged: bool,
}

impl CommitRows {
    fn add(&mut self, position: i64, stream: &str, version: i64, id: [u8; 16], recorded_at: i64) {
        self.last = Some((position, recorded_at));
        let (Ok(stream), Ok(version)) = (stream.parse::<StreamId>(), StreamVersion::try_from(version)) else {
            self.damaged = true;
            return;
        };
        if position == self.position {
            self.found_by = Some((stream.clone(), version));
        }
        let id = EventId::from_bytes(id);
        match self.streams.last_mut() {
            Some(part) if part.stream == stream => part.events.push(id),
            _ => self.streams.push(CommittedStream::new(stream, version, vec![id])),
        }
    }

    fn found(self) -> Option<FoundCommit> {
        let (last, recorded_at) = self.last.filter(|_| !self.damaged)?;
        let recorded_at = Timestamp::from_microsecond(recorded_at).ok()?;
        let last = Position::try_from(last).ok()?;
        let (stream, version) = self.found_by?;
        Some(FoundCommit { commit: Commit::new(self.streams, Some(last), recorded_at), stream, version })
    }
}
