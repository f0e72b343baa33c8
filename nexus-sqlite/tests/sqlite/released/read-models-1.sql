CREATE TABLE nexus_documents (
    collection TEXT NOT NULL,
    key        TEXT NOT NULL,
    content    TEXT NOT NULL, -- JSON, as it was given
    PRIMARY KEY (collection, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "nexus_documents" VALUES('$blocks','00000000000000000.0000','{"count":15,"digest":"5dad3423ceb24fb66b6e57d26773e93e"}');
INSERT INTO "nexus_documents" VALUES('$claims','0000','{"first":0,"last":1023,"cursor":15,"token":2,"expires":"2026-11-27T15:54:20.625833347Z"}');
INSERT INTO "nexus_documents" VALUES('$letters','till-b0000000000000000004','{"event":{"id":"01a21c72-9100-70ec-a80b-7b9267070131","type":"TillCounted","schema_version":2,"stream":"till-b","version":4,"position":9,"recorded_at":"2026-11-27T15:54:09.58676Z","metadata":{"command":"01a21c72-9100-7c29-916c-80b5eecf33a2","actor":"ada","tenant":"acme"},"payload":"{\"note\":\"it''s \\\"so\\\"\\n\"}"},"state":"dead","tries":1,"error":"poison","first_failed":"2026-11-27T15:54:09.626541148Z","last_failed":"2026-11-27T15:54:09.626541148Z"}');
INSERT INTO "nexus_documents" VALUES('$letters','till-b0000000000000000005','{"event":{"id":"01a21c72-9100-7a97-8f2e-854562c0ac38","type":"TillCounted","schema_version":2,"stream":"till-b","version":5,"position":10,"recorded_at":"2026-11-27T15:54:09.58676Z","metadata":{"command":"01a21c72-9100-7c29-916c-80b5eecf33a2","actor":"ada","tenant":"acme"},"payload":"{\"note\":null}"},"state":"waiting","tries":0}');
INSERT INTO "nexus_documents" VALUES('$state','build','{"prepared":true,"effects":"on","complete":0}');
INSERT INTO "nexus_documents" VALUES('sums','till-a','5');
INSERT INTO "nexus_documents" VALUES('sums','till-b','3');
INSERT INTO "nexus_documents" VALUES('sums','till-Ægir','5');
PRAGMA application_id = 1314411085;
PRAGMA user_version = 1;
