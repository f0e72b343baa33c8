-- Each kind of event that occurs, so that events and their index hold a small number instead.
CREATE TABLE kinds (
    kind           INTEGER PRIMARY KEY,
    category       TEXT    NOT NULL,
    type           TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    UNIQUE (category, type, schema_version)
) STRICT;

CREATE TABLE events (
    position    INTEGER PRIMARY KEY, -- 1, 2, 3 …: one process writes at a time
    stream      TEXT    NOT NULL,
    version     INTEGER NOT NULL,    -- 1, 2, 3 … within the stream
    slice       INTEGER NOT NULL,    -- 0 to 1,023
    kind        INTEGER NOT NULL,       -- see kinds
    id          BLOB    NOT NULL,    -- a UUID's sixteen bytes
    place       INTEGER NOT NULL,    -- 0, 1, 2 … within the append that stored it
    recorded_at INTEGER NOT NULL,    -- microseconds since 1970-01-01, UTC
    command     BLOB,                -- the id of the command that decided it
    metadata    TEXT,                -- all other metadata, a JSON object
    tags        TEXT,                -- a JSON array of strings
    payload     TEXT    NOT NULL     -- JSON, as it was given
) STRICT;

CREATE UNIQUE INDEX events_by_stream ON events (stream, version);
CREATE UNIQUE INDEX events_by_id ON events (id);
-- Every index ends in the position: one kind is read in order.
CREATE INDEX events_by_kind ON events (kind);

CREATE TABLE tags (
    tag      TEXT    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tag, position)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are only ever appended: they cannot be updated'); END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are only ever appended: they cannot be deleted'); END;

CREATE TRIGGER tags_are_never_updated BEFORE UPDATE ON tags
BEGIN SELECT RAISE(ABORT, 'tags belong to events: they cannot be updated'); END;

CREATE TRIGGER tags_are_never_deleted BEFORE DELETE ON tags
BEGIN SELECT RAISE(ABORT, 'tags belong to events: they cannot be deleted'); END;

CREATE TRIGGER kinds_are_never_updated BEFORE UPDATE ON kinds
BEGIN SELECT RAISE(ABORT, 'kinds belong to events: they cannot be updated'); END;

CREATE TRIGGER kinds_are_never_deleted BEFORE DELETE ON kinds
BEGIN SELECT RAISE(ABORT, 'kinds belong to events: they cannot be deleted'); END;
