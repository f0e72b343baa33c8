CREATE TABLE events (
    position    INTEGER PRIMARY KEY, -- 1, 2, 3 …: one process writes at a time
    stream      TEXT    NOT NULL,
    version     INTEGER NOT NULL,    -- 1, 2, 3 … within the stream
    slice       INTEGER NOT NULL,    -- 0 to 1,023
    kind        INTEGER NOT NULL,       -- see kinds
    id          BLOB    NOT NULL,    -- a UUID's sixteen bytes
    place       INTEGER NOT NULL,    -- 0, 1, 2 … within the append that stored it
    recorded_at INTEGER NOT NULL,    -- microseconds since 1970-01-01, UTC
    command     BLOB,                -- the id of the command that decided it
    metadata    TEXT,                -- all other metadata, a JSON object
    tags        TEXT,                -- a JSON array of strings
    payload     TEXT    NOT NULL     -- JSON, as it was given
) STRICT;
INSERT INTO "events" VALUES(1,'till-a',1,225,1,X'01A21C7291007443B960B315826BFD95',0,1795794849577272,X'01A21C72910075FBAC250018E35A6EEE','{"actor":"ada","tenant":"acme"}',NULL,'{}');
INSERT INTO "events" VALUES(2,'till-a',2,225,2,X'01A21C729100728185B79FEEF3816A28',0,1795794849582629,X'01A21C72910070B4A9C3334F5EB5554C','{"actor":"ada","tenant":"acme"}','["kind:cd"]','{"kind":"cd","cents":18446744073709551615}');
INSERT INTO "events" VALUES(3,'till-a',3,225,2,X'01A21C72910079228D84FF20F7718D0F',1,1795794849582629,X'01A21C72910070B4A9C3334F5EB5554C','{"actor":"ada","tenant":"acme"}','["kind:Größe 💿"]','{"kind":"Größe 💿","cents":1177}');
INSERT INTO "events" VALUES(4,'till-a',4,225,3,X'01A21C729100731593F93A599E700242',0,1795794849584053,X'01A21C72910072DF9F308B19BD5B280C','{"actor":"ada","tenant":"acme"}',NULL,'{"note":"it''s \"so\"\n"}');
INSERT INTO "events" VALUES(5,'till-a',5,225,3,X'01A21C729100744A88B0B4A8E7AFD1F2',1,1795794849584053,X'01A21C72910072DF9F308B19BD5B280C','{"actor":"ada","tenant":"acme"}',NULL,'{"note":null}');
INSERT INTO "events" VALUES(6,'till-b',1,913,1,X'01A21C7291007E2695803616C9321305',0,1795794849585137,X'01A21C7291007D099FBF1B50CB0E4878','{"actor":"ada","tenant":"acme"}',NULL,'{}');
INSERT INTO "events" VALUES(7,'till-b',2,913,2,X'01A21C7291007F088B3712AAB0FFB806',0,1795794849585844,X'01A21C72910075BB991818987340DEC6','{"actor":"ada","tenant":"acme"}','["kind:cd"]','{"kind":"cd","cents":18446744073709551615}');
INSERT INTO "events" VALUES(8,'till-b',3,913,2,X'01A21C72910075CA88F3573024C05C92',1,1795794849585844,X'01A21C72910075BB991818987340DEC6','{"actor":"ada","tenant":"acme"}','["kind:Größe 💿"]','{"kind":"Größe 💿","cents":1177}');
INSERT INTO "events" VALUES(9,'till-b',4,913,3,X'01A21C72910070ECA80B7B9267070131',0,1795794849586760,X'01A21C7291007C29916C80B5EECF33A2','{"actor":"ada","tenant":"acme"}',NULL,'{"note":"it''s \"so\"\n"}');
INSERT INTO "events" VALUES(10,'till-b',5,913,3,X'01A21C7291007A978F2E854562C0AC38',1,1795794849586760,X'01A21C7291007C29916C80B5EECF33A2','{"actor":"ada","tenant":"acme"}',NULL,'{"note":null}');
INSERT INTO "events" VALUES(11,'till-Ægir',1,102,1,X'01A21C7291007284B514FEFFFAC5FE18',0,1795794849587363,X'01A21C72910076E187C03AA4AF28451B','{"actor":"ada","tenant":"acme"}',NULL,'{}');
INSERT INTO "events" VALUES(12,'till-Ægir',2,102,2,X'01A21C7291007F8785B5167E73B3B2E8',0,1795794849588030,X'01A21C72910075BDA5C8462F1402834E','{"actor":"ada","tenant":"acme"}','["kind:cd"]','{"kind":"cd","cents":18446744073709551615}');
INSERT INTO "events" VALUES(13,'till-Ægir',3,102,2,X'01A21C729100795C80AD4E83C6532E0F',1,1795794849588030,X'01A21C72910075BDA5C8462F1402834E','{"actor":"ada","tenant":"acme"}','["kind:Größe 💿"]','{"kind":"Größe 💿","cents":1177}');
INSERT INTO "events" VALUES(14,'till-Ægir',4,102,3,X'01A21C7291007C9EA8497C0BDF927E97',0,1795794849593870,X'01A21C7291007BDBA722E31A7EE45744','{"actor":"ada","tenant":"acme"}',NULL,'{"note":"it''s \"so\"\n"}');
INSERT INTO "events" VALUES(15,'till-Ægir',5,102,3,X'01A21C72910074289BD15AD29AA21B02',1,1795794849593870,X'01A21C7291007BDBA722E31A7EE45744','{"actor":"ada","tenant":"acme"}',NULL,'{"note":null}');
CREATE TABLE kinds (
    kind           INTEGER PRIMARY KEY,
    category       TEXT    NOT NULL,
    type           TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    UNIQUE (category, type, schema_version)
) STRICT;
INSERT INTO "kinds" VALUES(1,'till','TillOpened',1);
INSERT INTO "kinds" VALUES(2,'till','TillSold',1);
INSERT INTO "kinds" VALUES(3,'till','TillCounted',2);
CREATE TABLE tags (
    tag      TEXT    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tag, position)
) STRICT, WITHOUT ROWID;
INSERT INTO "tags" VALUES('kind:Größe 💿',3);
INSERT INTO "tags" VALUES('kind:Größe 💿',8);
INSERT INTO "tags" VALUES('kind:Größe 💿',13);
INSERT INTO "tags" VALUES('kind:cd',2);
INSERT INTO "tags" VALUES('kind:cd',7);
INSERT INTO "tags" VALUES('kind:cd',12);
CREATE UNIQUE INDEX events_by_stream ON events (stream, version);
CREATE UNIQUE INDEX events_by_id ON events (id);
CREATE INDEX events_by_kind ON events (kind);
CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are only ever appended: they cannot be updated'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are only ever appended: they cannot be deleted'); END;
CREATE TRIGGER tags_are_never_updated BEFORE UPDATE ON tags
BEGIN SELECT RAISE(ABORT, 'tags belong to events: they cannot be updated'); END;
CREATE TRIGGER tags_are_never_deleted BEFORE DELETE ON tags
BEGIN SELECT RAISE(ABORT, 'tags belong to events: they cannot be deleted'); END;
CREATE TRIGGER kinds_are_never_updated BEFORE UPDATE ON kinds
BEGIN SELECT RAISE(ABORT, 'kinds belong to events: they cannot be updated'); END;
CREATE TRIGGER kinds_are_never_deleted BEFORE DELETE ON kinds
BEGIN SELECT RAISE(ABORT, 'kinds belong to events: they cannot be deleted'); END;
PRAGMA application_id = 1314411859;
PRAGMA user_version = 1;
