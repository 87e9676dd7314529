-- What is asked for by SQL has a column of its own; the rest of a token or a probe is one JSON document, so that a field
-- more needs no new schema.

CREATE TABLE tokens (
    id     TEXT PRIMARY KEY,
    record TEXT NOT NULL
) STRICT;

CREATE TABLE probes (
    name   TEXT PRIMARY KEY,
    record TEXT NOT NULL
) STRICT;

-- Keys that were struck off the roll. They never come back, whoever presents them.
CREATE TABLE revocations (
    key_sha256 TEXT PRIMARY KEY,
    probe      TEXT NOT NULL,
    revoked_us INTEGER NOT NULL
) STRICT;

-- Counts the changes of the roll, so that a server need not read it to see that it is still the same.
CREATE TABLE roll_version (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO roll_version VALUES (1, 0);
CREATE TRIGGER probe_added AFTER INSERT ON probes BEGIN UPDATE roll_version SET version = version + 1; END;
CREATE TRIGGER probe_changed AFTER UPDATE ON probes BEGIN UPDATE roll_version SET version = version + 1; END;
CREATE TRIGGER probe_gone AFTER DELETE ON probes BEGIN UPDATE roll_version SET version = version + 1; END;

CREATE TABLE reports (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    check_id   TEXT NOT NULL UNIQUE,
    owner      TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    -- What was asked from where: equal for checks whose answers follow each other. NULL: nothing is to be remembered.
    question   TEXT,
    -- Whether the caller could use the target: 1, 0, or NULL where the check did not decide.
    reached    INTEGER,
    bytes      INTEGER NOT NULL,
    -- The report as it was sent, protobuf.
    body       BLOB NOT NULL
) STRICT;
CREATE INDEX reports_of_question ON reports (owner, question, started_us) WHERE question IS NOT NULL;
CREATE INDEX reports_by_age ON reports (started_us);
CREATE INDEX reports_sizes ON reports (seq, bytes);

CREATE TABLE audit (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us        INTEGER NOT NULL,
    act          TEXT NOT NULL,
    who          TEXT NOT NULL,
    who_id       TEXT,
    who_name     TEXT,
    from_address TEXT,
    subject      TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    check_id     TEXT UNIQUE
) STRICT;
CREATE INDEX audit_by_age ON audit (at_us);
