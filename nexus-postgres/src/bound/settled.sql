-- The highest visible position, up to which nothing comes later, and how many kinds of events there are.
--
-- The first is that of the statement's snapshot, which is taken before anything is executed; the locks are looked at as
-- they are while it is executed. The other way round would be wrong. The second number of a lock has the low 32 bits of a
-- position, which lies within 2^31 of the end.
SELECT visible, least(visible, (
    SELECT min(visible + ((objid::bigint - (visible & 4294967295) + 2147483648) & 4294967295) - 2147483648)
    FROM pg_catalog.pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid = (:in_flight::bigint & 4294967295)::oid
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
)), (SELECT coalesce(max(kind), 0) FROM nexus.kinds), pg_is_in_recovery()
FROM (SELECT coalesce(max(position), 0) AS visible FROM nexus.events OFFSET 0) AS h
