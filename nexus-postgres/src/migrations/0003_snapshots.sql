-- States of aggregates, each as it was at some version: nothing but what can be folded from the events again.
CREATE TABLE snapshots (
    version     bigint NOT NULL,      -- the last that it includes
    recorded_at timestamptz NOT NULL, -- of that version's event
    taken_at    timestamptz NOT NULL,
    bytes       bigint NOT NULL,      -- of the state
    event       uuid NOT NULL,        -- the id of that event
    stream      text COLLATE "C" NOT NULL,
    shape       text COLLATE "C" NOT NULL, -- by which code it was written
    state       text NOT NULL,        -- JSON
    PRIMARY KEY (stream, shape)
);

CREATE INDEX snapshots_by_age ON snapshots (taken_at);

INSERT INTO migrations (version) VALUES (3);
