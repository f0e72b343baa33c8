-- One append without tags to one stream, which is new or at a version that is known. Without rows in the answer it was not
-- stored.
WITH s AS (
    :stream
)
INSERT INTO nexus.events (position, version, recorded_at, kind, size, slice, id, first, command, stream, metadata, tags, payload)
-- The marker is set once the stream is locked: who has one waits for nobody. Positions are drawn behind it.
SELECT nextval('nexus.positions'), :event
FROM (SELECT at, :marker, s OFFSET 0) AS m:events
RETURNING position, recorded_at
