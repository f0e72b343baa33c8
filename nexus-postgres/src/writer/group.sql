-- Several appends, each to a stream of its own and judged by itself. An append without a row in the answer was not stored:
-- it is a repeat, or a conflict, or somebody else has its stream in hand. Lines between `--if` and `--end` are left out
-- where a group does not need them.
WITH a AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::int2[], $3::int8[], $4::int8[]) WITH ORDINALITY
        AS a (stream, mode, expected, count, append)
    -- Whoever adds an inline projection has this table for itself meanwhile.
    WHERE NOT EXISTS (SELECT 1 FROM nexus.inline_projections)
    --if open
    -- Where no version is expected, nothing but its ids shows a repeat.
    AND NOT (mode IN (0, 2) AND append IN (
        SELECT r.append FROM unnest($5::int8[], $10::uuid[]) AS r (append, id)
        WHERE (SELECT true FROM nexus.events x WHERE x.id = r.id) IS NOT NULL
    ))
    --end
)
--if meets
, l AS MATERIALIZED (
    SELECT s.stream, s.version, s.recorded_at FROM nexus.streams s WHERE s.stream = ANY ($1) ORDER BY s.stream
    FOR UPDATE :skip
), j AS MATERIALIZED (
    SELECT a.*, l.stream IS NOT NULL AS is_there, coalesce(l.version, 0) AS base,
           greatest($16::timestamptz, CASE WHEN l.version > 0 THEN l.recorded_at END) AS at
    FROM a LEFT JOIN l ON l.stream = a.stream
    WHERE CASE a.mode -- any, no stream, a stream, exactly
          WHEN 0 THEN true
          WHEN 1 THEN coalesce(l.version, 0) = 0
          WHEN 2 THEN l.version > 0
          ELSE l.version = a.expected
          END
)
--end
--if meets makes
, new AS (
    INSERT INTO nexus.streams (stream, version, recorded_at)
    SELECT stream, count, at FROM j WHERE NOT is_there ORDER BY stream COLLATE "C"
    ON CONFLICT DO NOTHING RETURNING stream
)
--end
--if meets
, old AS (
    UPDATE nexus.streams s SET version = j.base + j.count, recorded_at = j.at
    FROM j WHERE j.is_there AND s.stream = j.stream RETURNING s.stream
)
--end
--if meets makes
, acc AS MATERIALIZED (
    SELECT j.append, j.stream, j.base, j.at FROM j
    JOIN (SELECT stream FROM new UNION ALL SELECT stream FROM old) AS o USING (stream)
)
--end
--if meets !makes
, acc AS MATERIALIZED (
    SELECT j.append, j.stream, j.base, j.at FROM j JOIN old USING (stream)
)
--end
--if !meets
, new AS (
    INSERT INTO nexus.streams (stream, version, recorded_at)
    SELECT stream, count, $16::timestamptz FROM a ORDER BY stream COLLATE "C"
    ON CONFLICT DO NOTHING RETURNING stream
), acc AS MATERIALIZED (
    SELECT a.append, a.stream, 0::int8 AS base, $16::timestamptz AS at FROM a JOIN new USING (stream)
)
--end
, m AS MATERIALIZED (
    -- Once all locks are there: who has a marker waits for nobody.
    SELECT :marker, (SELECT count(*) FROM acc) AS c
), d AS MATERIALIZED (
    -- Positions are drawn after the streams are locked, in the order of the appends, and behind the marker.
    SELECT nextval('nexus.positions') AS position, o.* FROM m, (
        SELECT acc.stream, acc.base, acc.at, e.* FROM acc JOIN unnest(
            $5::int8[], $6::int8[], $7::int4[], $8::int4[], $9::int2[], $10::uuid[], $11::uuid[], $12::uuid[], $13::text[],
            $14::text[], $15::text[]
        ) WITH ORDINALITY AS e (append, nth, kind, size, slice, id, first, command, metadata, tags, payload, event)
        USING (append) ORDER BY e.event
    ) AS o
), stored AS (
    INSERT INTO nexus.events (position, version, recorded_at, kind, size, slice, id, first, command, stream, metadata, tags, payload)
    SELECT position, base + nth, at, kind, size, slice, id, first, command, stream, metadata, tags, payload FROM d
)
--if tags
, tagged AS (
    INSERT INTO nexus.tags (position, tag)
    SELECT d.position, t.tag FROM unnest($17::int8[], $18::text[]) AS t (event, tag) JOIN d USING (event)
)
--end
SELECT stream, min(base), min(position), max(position), min(at) FROM d GROUP BY stream
