-- Settings that a person keeps under a name of their own: one JSON object each.
CREATE TABLE presets (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,
    settings TEXT NOT NULL,
    UNIQUE (owner, name)
);
