-- The transactions of others that may have drawn lower positions.
SELECT virtualtransaction FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid = (:in_flight::bigint & 4294967295)::oid
  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND pid IS DISTINCT FROM pg_backend_pid() AND ($1::text[] IS NULL OR virtualtransaction = ANY ($1))
