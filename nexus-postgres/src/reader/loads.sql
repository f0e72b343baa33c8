-- The first events of several streams at once.
SELECT nth, e.* FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[]) WITH ORDINALITY
    AS w (stream, first_version, last_version, most, nth),
LATERAL (
    SELECT :columns FROM nexus.events WHERE stream = w.stream AND version BETWEEN w.first_version AND w.last_version
    ORDER BY version LIMIT w.most
) AS e
ORDER BY nth, version
