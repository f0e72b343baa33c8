-- Projections that are written in the transaction of each append: a process that does not know them may not append.
CREATE TABLE inline_projections (
    name    TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;

-- Documents of such projections.
CREATE TABLE nexus_documents (
    collection TEXT NOT NULL,
    key        TEXT NOT NULL,
    content    TEXT NOT NULL, -- JSON, as it was given
    PRIMARY KEY (collection, key)
) STRICT, WITHOUT ROWID;
