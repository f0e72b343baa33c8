CREATE TABLE nexus_documents (
    collection TEXT NOT NULL,
    key        TEXT NOT NULL,
    content    TEXT NOT NULL, -- JSON, as it was given
    PRIMARY KEY (collection, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "nexus_documents" VALUES('$projections','sum','{"builds":[{"number":1,"version":1,"state":"serving","since":"2026-11-27T15:54:09.594339134Z"}],"made":1,"paused":false}');
PRAGMA application_id = 1314411085;
PRAGMA user_version = 1;
