-- One append, which was judged: its streams are locked. Nothing is stored, and the answer is NULL, where the store has other
-- inline projections than those that are given.
WITH p AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[]) WITH ORDINALITY AS p (stream, base, count, append)
    -- Whoever adds an inline projection has this table for itself meanwhile.
    WHERE NOT EXISTS (
        SELECT 1 FROM unnest($19::text[], $20::int8[]) AS i (name, version)
        FULL JOIN nexus.inline_projections x ON x.name = i.name AND x.version = i.version
        WHERE i.name IS NULL OR x.name IS NULL
    )
), e AS MATERIALIZED (
    SELECT * FROM unnest($4::int8[], $5::int8[], $6::int4[], $7::int4[], $8::int2[], $9::uuid[], $10::uuid[], $11::uuid[],
                         $12::text[], $13::text[], $14::text[]) WITH ORDINALITY
        AS e (append, nth, kind, size, slice, id, first, command, metadata, tags, payload, event)
), ends AS (
    UPDATE nexus.streams s SET version = p.base + p.count, recorded_at = $15::timestamptz FROM p WHERE s.stream = p.stream
), m AS MATERIALIZED (
    SELECT :marker
), d AS MATERIALIZED (
    -- Positions that were drawn beforehand are used; others are drawn behind the marker.
    SELECT coalesce(($18::int8[])[event::int4], nextval('nexus.positions')) AS position, o.* FROM m, (
        SELECT p.stream, p.base, e.* FROM p JOIN e USING (append) ORDER BY e.event
    ) AS o
), stored AS (
    INSERT INTO nexus.events (position, version, recorded_at, kind, size, slice, id, first, command, stream, metadata, tags, payload)
    SELECT position, base + nth, $15, kind, size, slice, id, first, command, stream, metadata, tags, payload FROM d
), tagged AS (
    INSERT INTO nexus.tags (position, tag)
    SELECT d.position, t.tag FROM unnest($16::int8[], $17::text[]) AS t (event, tag) JOIN d USING (event)
)
SELECT array_agg(position ORDER BY event) FROM d
