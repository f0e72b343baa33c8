-- Locks streams: those that are there first, then those that may come to be, which get a row of version 0.
WITH held AS MATERIALIZED (
    SELECT s.stream FROM nexus.streams s WHERE s.stream = ANY ($1) ORDER BY s.stream FOR UPDATE
), made AS (
    INSERT INTO nexus.streams (stream, version, recorded_at)
    SELECT stream, 0, $2 FROM unnest($3::text[]) AS w (stream)
    WHERE NOT stream = ANY (coalesce((SELECT array_agg(stream) FROM held), '{}')) ORDER BY stream COLLATE "C"
    ON CONFLICT DO NOTHING RETURNING stream
)
SELECT stream FROM held UNION ALL SELECT stream FROM made
