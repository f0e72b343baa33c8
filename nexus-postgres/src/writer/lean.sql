-- Several appends of one event each, without tags, each to a stream of its own, all new or all at versions that are known. An
-- append without a row in the answer was not stored: it is a repeat, or a conflict, or somebody else has its stream in
-- hand. Lines between `--if` and `--end` are left out where a group does not need them.
WITH e AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::int8[], $3::int4[], $4::int2[], $5::uuid[], $6::uuid[], $7::text[], $8::text[])
        AS e (stream, base, kind, slice, id, command, metadata, payload)
    -- Whoever adds an inline projection has this table for itself meanwhile.
    WHERE NOT EXISTS (SELECT 1 FROM nexus.inline_projections)
)
--if makes
, s AS (
    -- They come in the order of their bytes, in which all lock them.
    INSERT INTO nexus.streams (stream, version, recorded_at) SELECT stream, 1, $9::timestamptz FROM e
    ON CONFLICT DO NOTHING RETURNING stream, recorded_at AS at
)
--end
--if meets
, l AS MATERIALIZED (
    SELECT stream, version FROM nexus.streams WHERE stream = ANY ($1) ORDER BY stream FOR UPDATE :skip
), s AS (
    UPDATE nexus.streams s SET version = e.base + 1, recorded_at = greatest(s.recorded_at, $9::timestamptz)
    FROM e JOIN l USING (stream) WHERE s.stream = l.stream AND l.version = e.base RETURNING s.stream, s.recorded_at AS at
)
--end
, m AS MATERIALIZED (
    -- Once all locks are there: who has a marker waits for nobody.
    SELECT :marker, (SELECT count(*) FROM s) AS c
)
INSERT INTO nexus.events (position, version, recorded_at, kind, size, slice, id, first, command, stream, metadata, tags, payload)
SELECT nextval('nexus.positions'), base + 1, at, kind, 1, slice, id, NULL, command, stream, metadata, NULL, payload
FROM m, e JOIN s USING (stream)
RETURNING stream, version - 1, position, position, recorded_at
