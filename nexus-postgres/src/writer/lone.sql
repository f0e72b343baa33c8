-- One append without tags to one stream, which is new or at a version that is known. Without rows in the answer it was not
-- stored.
WITH s AS (
    :stream
), m AS MATERIALIZED (
    -- Once the stream is locked: who has a marker waits for nobody.
    SELECT at, :marker, s
)
INSERT INTO nexus.events (position, version, recorded_at, kind, size, slice, id, first, command, stream, metadata, tags, payload)
SELECT nextval('nexus.positions'), $2 + nth, m.at, kind, size, slice, id, first, command, $1, metadata, tags, payload
FROM m, (:events) AS e
RETURNING position, recorded_at
