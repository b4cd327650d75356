-- A conversation is a tree of turns; `title` is the automatic one unless `is_renamed`.
-- `turns` counts those of the branch that is shown. Times are seconds since the epoch.
CREATE TABLE conversations (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    is_renamed INTEGER NOT NULL,
    shown_id TEXT,
    turns INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    deleted_at REAL
);
CREATE INDEX conversations_by_owner ON conversations (owner, updated_at);

CREATE TABLE turns (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    parent_id TEXT,
    question TEXT NOT NULL,
    attachments TEXT NOT NULL,
    settings TEXT NOT NULL,
    job_id TEXT NOT NULL,
    asked_at REAL NOT NULL
);
CREATE INDEX turns_by_conversation ON turns (conversation_id);

-- One row an answer, finished or as far as it was last saved; `record` is all of it.
CREATE TABLE answers (
    turn_id TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE,
    conversation_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    model TEXT NOT NULL,
    drafter TEXT NOT NULL,
    backend TEXT NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL,
    started_at REAL NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    prefill_s REAL NOT NULL,
    ttft_s REAL NOT NULL,
    decode_s REAL NOT NULL,
    rounds INTEGER NOT NULL,
    drafted INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    baseline_tps REAL NOT NULL,
    draft_s REAL NOT NULL,
    verify_s REAL NOT NULL,
    total_s REAL NOT NULL,
    fell_back INTEGER NOT NULL,
    error TEXT NOT NULL,
    draft_length TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX answers_by_owner ON answers (owner, started_at);
CREATE INDEX unfinished_answers ON answers (state)
WHERE state IN ('queued', 'prefilling', 'writing');

-- What a search looks in; the numbers of the rows are those above.
CREATE VIRTUAL TABLE title_texts USING fts5 (
    title, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
CREATE VIRTUAL TABLE turn_texts USING fts5 (
    question, answer, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
CREATE TRIGGER forget_title AFTER DELETE ON conversations BEGIN
    DELETE FROM title_texts WHERE rowid = old.number;
END;
CREATE TRIGGER forget_texts AFTER DELETE ON turns BEGIN
    DELETE FROM turn_texts WHERE rowid = old.number;
END;
