-- What a role needs to append, read and project: it can neither change nor remove an event.
--   psql -v schema=nexus -v role=shop -f privileges.sql
GRANT USAGE ON SCHEMA :schema TO :role;
GRANT SELECT ON ALL TABLES IN SCHEMA :schema TO :role;
GRANT INSERT ON :schema.events, :schema.tags, :schema.kinds TO :role;
GRANT INSERT, UPDATE ON :schema.streams TO :role;
GRANT USAGE ON SEQUENCE :schema.positions TO :role;
-- Read models of documents, and snapshots.
GRANT INSERT, UPDATE, DELETE ON :schema.documents, :schema.snapshots TO :role;
-- A role that adds or removes inline projections needs this, too; and one whose read models are tables needs to create schemas:
-- GRANT INSERT, UPDATE, DELETE ON :schema.inline_projections TO :role;
-- GRANT CREATE ON SCHEMA :schema TO :role;
-- GRANT CREATE ON DATABASE shop TO :role;
