-- Under the lock on kinds. Numbers follow each other.
INSERT INTO nexus.kinds (kind, category, type, schema_version)
SELECT (SELECT coalesce(max(kind), 0) FROM nexus.kinds) + row_number() OVER (ORDER BY category, type, version),
       category, type, version
FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::int8[]) AS w (category, type, version)) AS wanted
WHERE NOT EXISTS (
    SELECT 1 FROM nexus.kinds k
    WHERE k.category = wanted.category AND k.type = wanted.type AND k.schema_version = wanted.version
)
