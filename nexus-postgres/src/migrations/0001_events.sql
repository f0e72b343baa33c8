-- The events of a store. All names are looked up in the schema that comes first in the search path:
--   psql -c 'CREATE SCHEMA nexus'
--   PGOPTIONS='-c search_path=nexus' psql -v ON_ERROR_STOP=1 --single-transaction -f 0001_events.sql

-- Each kind of event that occurs, so that events and their index hold a small number instead.
CREATE TABLE kinds (
    kind           integer PRIMARY KEY,
    category       text COLLATE "C" NOT NULL,
    type           text COLLATE "C" NOT NULL,
    schema_version bigint NOT NULL,
    UNIQUE (category, type, schema_version)
);

-- The end of each stream; version 0: nobody has appended to it yet.
CREATE TABLE streams (
    version     bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    stream      text COLLATE "C" PRIMARY KEY
) WITH (fillfactor = 80);

-- It starts at 0, which is drawn here and never used. It is never set back.
CREATE SEQUENCE positions AS bigint MINVALUE 0 START 0 CACHE 1;
SELECT nextval('positions');

CREATE TABLE events (
    position    bigint NOT NULL,      -- grows, with holes
    version     bigint NOT NULL,      -- 1, 2, 3 … within the stream
    recorded_at timestamptz NOT NULL,
    kind        integer NOT NULL,     -- see kinds
    size        integer NOT NULL,     -- how many events the append had that stored it
    slice       smallint NOT NULL,    -- 0 to 1,023
    id          uuid NOT NULL,
    first       uuid,                 -- the id of that append's first event, unless it is this one
    command     uuid,                 -- the command that decided it
    stream      text COLLATE "C" NOT NULL,
    metadata    text,                 -- all other metadata, a JSON object
    tags        text,                 -- a JSON array of strings
    payload     text NOT NULL,        -- JSON, as it was given
    CONSTRAINT events_by_position PRIMARY KEY (position),
    CONSTRAINT events_by_stream UNIQUE (stream, version),
    CONSTRAINT events_by_id UNIQUE (id)
);

CREATE INDEX events_by_kind ON events (kind, position);

CREATE TABLE tags (
    position bigint NOT NULL,
    tag      text COLLATE "C" NOT NULL,
    PRIMARY KEY (tag, position)
);

-- Projections that are written in the transaction of each append: a process that does not know them may not append.
CREATE TABLE inline_projections (
    name    text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL
);

CREATE FUNCTION never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is only ever added to: it takes no %', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON events EXECUTE FUNCTION never_changed();
CREATE TRIGGER tags_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON tags EXECUTE FUNCTION never_changed();
CREATE TRIGGER kinds_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON kinds EXECUTE FUNCTION never_changed();
CREATE TRIGGER streams_are_never_removed BEFORE DELETE OR TRUNCATE ON streams EXECUTE FUNCTION never_changed();

-- For people: events with the names of their kinds.
CREATE VIEW event_log AS
    SELECT e.position, e.stream, e.version, k.type, k.schema_version, k.category, e.recorded_at, e.id, e.command,
           e.metadata::json AS metadata, e.tags::json AS tags, e.payload::json AS payload
    FROM events e JOIN kinds k USING (kind);

CREATE TABLE migrations (
    version    integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO migrations (version) VALUES (1);
