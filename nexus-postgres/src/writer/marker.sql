pg_advisory_xact_lock_shared(:in_flight, (((last + 2147483648) & 4294967295) - 2147483648)::int4)
    FROM (SELECT coalesce(max(position), 0) AS last FROM nexus.events OFFSET 0) AS l
