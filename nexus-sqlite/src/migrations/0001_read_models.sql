-- Documents of read models, and in collections that start with '$' what Nexus notes about projections.
CREATE TABLE nexus_documents (
    collection TEXT NOT NULL,
    key        TEXT NOT NULL,
    content    TEXT NOT NULL, -- JSON, as it was given
    PRIMARY KEY (collection, key)
) STRICT, WITHOUT ROWID;
