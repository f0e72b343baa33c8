CREATE TABLE nexus_snapshots (
    stream      TEXT NOT NULL,
    shape       TEXT NOT NULL,    -- by which code it was written
    version     INTEGER NOT NULL, -- the last that it includes
    event       BLOB NOT NULL,    -- the id of that event
    recorded_at INTEGER NOT NULL, -- of that event, in microseconds since 1970
    taken_at    INTEGER NOT NULL,
    bytes       INTEGER NOT NULL, -- of the state
    state       TEXT NOT NULL,    -- JSON
    PRIMARY KEY (stream, shape)
) STRICT;
INSERT INTO "nexus_snapshots" VALUES('till-a','7f3c8f522c7126b3c41ae79700a2d37a',5,X'01A21C729100744A88B0B4A8E7AFD1F2',1795794849584053,1795773600123456,7,'{"n":5}');
INSERT INTO "nexus_snapshots" VALUES('till-b','7f3c8f522c7126b3c41ae79700a2d37a',5,X'01A21C7291007A978F2E854562C0AC38',1795794849586760,1795773600123456,7,'{"n":5}');
INSERT INTO "nexus_snapshots" VALUES('till-Ægir','7f3c8f522c7126b3c41ae79700a2d37a',5,X'01A21C72910074289BD15AD29AA21B02',1795794849593870,1795773600123456,7,'{"n":5}');
CREATE INDEX nexus_snapshots_by_age ON nexus_snapshots (taken_at);
PRAGMA application_id = 1314411342;
PRAGMA user_version = 1;
