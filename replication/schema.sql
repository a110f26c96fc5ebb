-- One device's copy. `id` of an entry is its order of arrival here: every replica sends in that order,
-- so that whatever an entry was made after arrives before it.
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE logs (
    number INTEGER PRIMARY KEY,
    log BLOB NOT NULL UNIQUE,            -- 16 bytes
    author BLOB NOT NULL,                -- 32 bytes
    forked INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,           -- 32 bytes
    log INTEGER NOT NULL REFERENCES logs (number),
    seq INTEGER NOT NULL,
    previous INTEGER REFERENCES entries (id),
    tip INTEGER NOT NULL,                -- no entry follows it
    head BLOB NOT NULL,                  -- the wire form without its body
    frontier BLOB NOT NULL,              -- 32-byte hashes one after another
    vault BLOB,                          -- 16 bytes; null for statements
    body BLOB,                           -- statements; null for ops
    reason TEXT,                         -- why it has no effect, judged in its own past: never changes
    cut INTEGER NOT NULL DEFAULT 0       -- it lies beyond the cut of a removal that stands
) STRICT;
CREATE INDEX entries_of_log ON entries (log, seq);
CREATE INDEX tips ON entries (log) WHERE tip;
CREATE INDEX cut_entries ON entries (id) WHERE cut;

CREATE TABLE statements (
    hash BLOB PRIMARY KEY,               -- 32 bytes
    entry INTEGER NOT NULL REFERENCES entries (id),
    reason TEXT NOT NULL                 -- empty: it has effect
) STRICT, WITHOUT ROWID;

-- id = entry * 1024 + index, so that a dot leads to its op without an index of its own.
CREATE TABLE ops (
    id INTEGER PRIMARY KEY,
    target BLOB NOT NULL,                -- 16 bytes
    replaces BLOB,                       -- dots of 18 bytes one after another; null: none
    copies BLOB,                         -- 18 bytes: another ciphertext of that dot, no write of its own; never live
    sealed BLOB,                         -- null: an op without value; empty: its value is not here
    live INTEGER NOT NULL
) STRICT;
CREATE INDEX ops_at ON ops (target);
CREATE INDEX copies_of ON ops (copies) WHERE copies IS NOT NULL;

-- Values that are not here, purged or never sent, by what their op's hash is made with.
CREATE TABLE missing (
    op INTEGER PRIMARY KEY REFERENCES ops (id),
    digest BLOB NOT NULL                 -- 32 bytes: SHA-256 of the sealed value
) STRICT;

-- Writes that the floor of a purge in force names: each counts, itself alone, whatever the cuts.
CREATE TABLE lifted (op INTEGER PRIMARY KEY REFERENCES ops (id)) STRICT;

-- Dots named by counted ops before their entry came.
CREATE TABLE replaced (
    dot BLOB NOT NULL,                   -- 18 bytes
    op INTEGER NOT NULL REFERENCES ops (id),
    PRIMARY KEY (dot, op)
) STRICT, WITHOUT ROWID;

-- Targets whose live dots changed without a new write there: a removal cut some off, or one was taken in.
CREATE TABLE recounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    vault BLOB NOT NULL,
    target BLOB NOT NULL
) STRICT;

CREATE TABLE signed_frontiers (
    device BLOB PRIMARY KEY,             -- 32 bytes
    count INTEGER NOT NULL,
    frontier BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What is this device's alone; nothing below replicates.
CREATE TABLE own_logs (author BLOB PRIMARY KEY, log BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE local (kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key))
    STRICT, WITHOUT ROWID;
