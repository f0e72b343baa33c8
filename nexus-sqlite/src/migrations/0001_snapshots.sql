-- States of aggregates, each as it was at some version: nothing but what can be folded from the events again.
CREATE TABLE nexus_snapshots (
    stream      TEXT NOT NULL,
    shape       TEXT NOT NULL,    -- by which code it was written
    version     INTEGER NOT NULL, -- the last that it includes
    event       BLOB NOT NULL,    -- the id of that event
    recorded_at INTEGER NOT NULL, -- of that event, in microseconds since 1970
    taken_at    INTEGER NOT NULL,
    bytes       INTEGER NOT NULL, -- of the state
    state       TEXT NOT NULL,    -- JSON
    PRIMARY KEY (stream, shape)
) STRICT;

CREATE INDEX nexus_snapshots_by_age ON nexus_snapshots (taken_at);
