-- One append without tags to one stream, which is new or at a version that is known. Without a row in the answer it was not
-- stored.
WITH s AS (
    :stream
)
:open
INSERT INTO nexus.events (position, version, recorded_at, kind, size, slice, id, first, command, stream, metadata, tags, payload)
-- The marker is set once the stream is locked: who has one waits for nobody. Positions are drawn behind it, in a query of their
-- own: `OFFSET` keeps the two apart.
SELECT nextval('nexus.positions'), :event
FROM (SELECT at, :marker, s OFFSET 0) AS m:events
RETURNING position AS first, position AS last, recorded_at
:close
