-- Documents of read models, and in collections that start with '$' what Nexus notes about projections.
CREATE TABLE documents (
    space      text COLLATE "C" NOT NULL, -- which read model; '' for those of inline projections
    collection text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    content    text NOT NULL,             -- JSON, as it was given
    PRIMARY KEY (space, collection, key)
) WITH (fillfactor = 80);

INSERT INTO migrations (version) VALUES (2);
