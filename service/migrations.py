"""The tables, as migrations from the first one on.

Raw STRICT DDL rather than `Table.create()`: the CHECKs and triggers that keep every recorded
life legal cannot be said there, and `transform()` would drop the triggers silently.

A new migration is appended, never edited in: databases in the field have run the old ones.
"""

import sqlite_utils
from sqlite_utils import Migrations

from schemas.lifecycle import (
    FINAL_JOB_STATES,
    JOB_MOVES,
    REPEATABLE_KINDS,
    TASK_MOVES,
    FailureReason,
    JobState,
    Outcome,
    TaskKind,
    TaskState,
)

migrations = Migrations("foldq")


def _among(values: object) -> str:
    """Write an SQL list of string literals, sorted so that the DDL is the same every time."""
    return "(" + ", ".join(f"'{value}'" for value in sorted(map(str, values))) + ")"  # type: ignore[call-overload]


def _moves(moves: object) -> str:
    return _among(f"{old}>{new}" for old, new in moves)  # type: ignore[attr-defined]


_TABLES = f"""
CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN {_among(JobState)}),
    reason TEXT,                      -- why it failed, was paused or cancelled
    -- what was asked
    file_name TEXT NOT NULL,          -- as it lay in incoming/
    file_digest TEXT NOT NULL,        -- SHA-256 of the bytes
    file_bytes BLOB NOT NULL,
    same_content_as INTEGER REFERENCES job(id),
    spec TEXT NOT NULL CHECK (json_valid(spec)),  -- as validated, every default filled in
    strategy TEXT NOT NULL,
    estimator TEXT NOT NULL,          -- 'SVC', 'Pipeline(StandardScaler, SVC)'
    data TEXT NOT NULL,               -- 'digits', 'train.csv', 'make_classification'
    scoring TEXT NOT NULL CHECK (json_valid(scoring)),  -- metric names, ["score"] for a single one
    tags TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags)),
    priority INTEGER NOT NULL DEFAULT 0,
    max_engines INTEGER CHECK (max_engines > 0),
    -- what was found out
    prepared TEXT CHECK (prepared IS NULL OR json_valid(prepared)),  -- schemas.task.Prepared
    data_fingerprint TEXT,
    n_samples INTEGER,
    n_features INTEGER,
    n_splits INTEGER,
    versions TEXT CHECK (versions IS NULL OR json_valid(versions)),
    -- how far it is; kept by the writer, in the transaction that moves the tasks
    n_candidates INTEGER NOT NULL DEFAULT 0,  -- planned so far: halving adds some each iteration
    n_tasks INTEGER NOT NULL DEFAULT 0,       -- fold tasks, of halving those planned so far
    n_done INTEGER NOT NULL DEFAULT 0,
    n_failed INTEGER NOT NULL DEFAULT 0,
    fold_seconds REAL NOT NULL DEFAULT 0,     -- sum of fit and score times of the done folds
    -- what came out
    best_index INTEGER,               -- row in cv_results
    best_score REAL,                  -- mean test score of that row
    best_params TEXT CHECK (best_params IS NULL OR json_valid(best_params)),
    refitted TEXT CHECK (refitted IS NULL OR json_valid(refitted)),  -- schemas.task.Refitted
    submitted_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    UNIQUE (file_name, file_digest),
    CHECK ((state IN {_among(FINAL_JOB_STATES)}) = (finished_at IS NOT NULL)),
    CHECK (
        state NOT IN ('preparing', 'running', 'refitting', 'completed') OR started_at IS NOT NULL
    )
) STRICT;
CREATE INDEX job_state ON job (state);
CREATE INDEX job_submitted ON job (submitted_at);

CREATE TABLE candidate (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES job(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,          -- row in cv_results, from 0
    iteration INTEGER NOT NULL DEFAULT 0,     -- of successive halving
    n_resources INTEGER,              -- of successive halving
    params TEXT NOT NULL CHECK (json_valid(params)),
    content_key TEXT,                 -- equal keys: equal scores; null if not repeatable
    UNIQUE (job_id, number)
) STRICT;
CREATE INDEX candidate_content ON candidate (content_key) WHERE content_key IS NOT NULL;

CREATE TABLE engine (
    id INTEGER PRIMARY KEY,
    cluster TEXT NOT NULL,            -- cluster id or connection file
    number INTEGER NOT NULL,          -- ipyparallel's engine id within that cluster
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    versions TEXT NOT NULL CHECK (json_valid(versions)),
    joined_at TEXT NOT NULL,
    left_at TEXT,
    left_because TEXT,
    CHECK ((left_at IS NULL) = (left_because IS NULL))
) STRICT;

CREATE TABLE task (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES job(id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN {_among(TaskKind)}),
    candidate_id INTEGER REFERENCES candidate(id) ON DELETE CASCADE,
    split INTEGER,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN {_among(TaskState)}),
    reason TEXT CHECK (reason IN {_among(FailureReason)}),
    n_attempts INTEGER NOT NULL DEFAULT 0,    -- ended ok, in error or timeout
    n_engines_lost INTEGER NOT NULL DEFAULT 0,  -- while it was alone in its batch
    test_scores TEXT CHECK (test_scores IS NULL OR json_valid(test_scores)),    -- NaN is null
    train_scores TEXT CHECK (train_scores IS NULL OR json_valid(train_scores)),
    fit_time REAL,                    -- seconds
    score_time REAL,                  -- seconds
    error TEXT,
    warnings TEXT CHECK (warnings IS NULL OR json_valid(warnings)),
    origin_task_id INTEGER,           -- the fold of an earlier job whose result this is
    started_at TEXT,                  -- first dispatch
    finished_at TEXT,
    UNIQUE (job_id, candidate_id, split),
    CHECK ((kind = 'fold') = (candidate_id IS NOT NULL AND split IS NOT NULL)),
    CHECK ((state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK ((state = 'failed') = (reason IS NOT NULL)),
    CHECK (kind != 'fold' OR state != 'done' OR test_scores IS NOT NULL)
) STRICT;
CREATE INDEX task_job_state ON task (job_id, state, id);
CREATE UNIQUE INDEX task_once ON task (job_id, kind) WHERE kind != 'fold';

CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    task_id INTEGER NOT NULL REFERENCES task(id) ON DELETE CASCADE,
    engine_id INTEGER NOT NULL REFERENCES engine(id),
    batch INTEGER NOT NULL,           -- attempts sent together share it
    submitted_at TEXT NOT NULL,
    finished_at TEXT,
    outcome TEXT CHECK (outcome IN {_among(Outcome)}),
    error TEXT,
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
) STRICT;
CREATE INDEX attempt_task ON attempt (task_id);
CREATE INDEX attempt_open ON attempt (id) WHERE outcome IS NULL;

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,               -- 'job admitted', 'engine lost', …
    job_id INTEGER REFERENCES job(id) ON DELETE CASCADE,
    task_id INTEGER,
    engine_id INTEGER,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX event_job ON event (job_id, id);
"""

_TRIGGERS = f"""
CREATE TRIGGER job_moves BEFORE UPDATE OF state ON job
WHEN OLD.state != NEW.state AND OLD.state || '>' || NEW.state NOT IN {_moves(JOB_MOVES)}
BEGIN SELECT RAISE(ABORT, 'a job cannot move that way'); END;

CREATE TRIGGER task_moves BEFORE UPDATE OF state ON task
WHEN OLD.state != NEW.state AND OLD.state || '>' || NEW.state NOT IN {_moves(TASK_MOVES)}
    AND NOT (OLD.state = 'done' AND NEW.state = 'pending'
        AND OLD.kind IN {_among(REPEATABLE_KINDS)})
BEGIN SELECT RAISE(ABORT, 'a task cannot move that way'); END;

CREATE TRIGGER attempt_ends_once BEFORE UPDATE ON attempt
WHEN OLD.outcome IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an attempt ends once'); END;
"""

_VIEWS = """
CREATE VIEW fold AS
SELECT task.id AS task_id, task.job_id, job.name AS job, candidate.number AS candidate,
       candidate.iteration, candidate.params, task.split, task.state, task.reason,
       task.test_scores, task.train_scores, task.fit_time, task.score_time, task.error,
       task.started_at, task.finished_at
FROM task JOIN candidate ON candidate.id = task.candidate_id JOIN job ON job.id = task.job_id;

CREATE VIEW task_attempt AS
SELECT attempt.id AS attempt_id, task.job_id, task.id AS task_id, task.kind,
       candidate.number AS candidate, task.split, attempt.batch, attempt.engine_id,
       engine.host, engine.pid, attempt.submitted_at, attempt.finished_at, attempt.outcome,
       attempt.error
FROM attempt JOIN task ON task.id = attempt.task_id JOIN engine ON engine.id = attempt.engine_id
LEFT JOIN candidate ON candidate.id = task.candidate_id;

CREATE VIEW live_engine AS SELECT * FROM engine WHERE left_at IS NULL;
"""


@migrations()
def m001_tables(db: sqlite_utils.Database) -> None:
    """Jobs, candidates, tasks, attempts, engines, events; their rules and their views."""
    for statements in (_TABLES, _VIEWS):
        for statement in statements.split(";\n"):
            if statement.strip():
                db.execute(statement)
    for trigger in _TRIGGERS.split("END;"):
        if trigger.strip():
            db.execute(trigger + "END")


@migrations()
def m002_engine_identity(db: sqlite_utils.Database) -> None:
    """Add how a later scheduler knows an engine again: ipyparallel's own unique name of it."""
    db.execute("ALTER TABLE engine ADD COLUMN identity TEXT")


@migrations()
def m003_spared_time(db: sqlite_utils.Database) -> None:
    """Add what a fold's fit was spared, because an earlier fold had done that part."""
    db.execute("ALTER TABLE task ADD COLUMN spared_time REAL")  # seconds


@migrations()
def m004_scale(db: sqlite_utils.Database) -> None:
    """Make a record cheap, and questions about large searches.

    SQLite builds a table of its own for each `IN (…)` of three values or more, again at every row
    that is written: half of the time that a fold's record took. So the rules of `task` and
    `attempt` are said by `=` and `OR` now. A CHECK cannot be altered, so both tables are written
    anew, in the transaction of the migration; foreign keys must be off, or the old rows would take
    along what refers to them.
    """
    (enforced,) = db.execute("PRAGMA foreign_keys").fetchone()
    if enforced:
        raise RuntimeError("tables are written anew only while foreign keys are off")
    for name in ("fold", "task_attempt"):
        db.execute(f"DROP VIEW {name}")
    for table, made in (("task", _TASK), ("attempt", _ATTEMPT)):
        columns = ", ".join(column.name for column in db.table(table).columns)
        db.execute(f"CREATE TABLE {table}_anew {made}")
        db.execute(f"INSERT INTO {table}_anew ({columns}) SELECT {columns} FROM {table}")
        db.execute(f"DROP TABLE {table}")  # and with it its triggers and indexes
        db.execute(f"ALTER TABLE {table}_anew RENAME TO {table}")
    for statement in _CHEAP_RULES:
        db.execute(statement)


def _is_among(column: str, values: object) -> str:
    """Write `column IN values` without making SQLite build a table for it."""
    return " OR ".join(f"{column} = '{value}'" for value in sorted(map(str, values)))  # type: ignore[call-overload]


#: The commonest moves first: the others are not even looked at then.
_TASK_MOVES = " OR ".join(
    f"OLD.state = '{old}' AND NEW.state = '{new}'"
    for old, new in sorted(
        TASK_MOVES,
        key=lambda move: (
            TaskState.DISPATCHED not in move,
            TaskState.DONE not in move and TaskState.PENDING is not move[0],
            str(move),
        ),
    )
)

_TASK = f"""(
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES job(id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK ({_is_among("kind", TaskKind)}),
    candidate_id INTEGER REFERENCES candidate(id) ON DELETE CASCADE,
    split INTEGER,
    state TEXT NOT NULL DEFAULT 'pending' CHECK ({_is_among("state", TaskState)}),
    reason TEXT CHECK (reason IS NULL OR {_is_among("reason", FailureReason)}),
    n_attempts INTEGER NOT NULL DEFAULT 0,    -- ended ok, in error or timeout
    n_engines_lost INTEGER NOT NULL DEFAULT 0,  -- while it was alone in its batch
    test_scores TEXT CHECK (test_scores IS NULL OR json_valid(test_scores)),    -- NaN is null
    train_scores TEXT CHECK (train_scores IS NULL OR json_valid(train_scores)),
    fit_time REAL,                    -- seconds, really spent
    spared_time REAL,                 -- seconds of the fit that an earlier fold had spent already
    score_time REAL,                  -- seconds
    error TEXT,
    warnings TEXT CHECK (warnings IS NULL OR json_valid(warnings)),
    origin_task_id INTEGER,           -- the fold of an earlier job whose result this is
    started_at TEXT,                  -- first dispatch
    finished_at TEXT,
    UNIQUE (job_id, candidate_id, split),
    CHECK ((kind = 'fold') = (candidate_id IS NOT NULL AND split IS NOT NULL)),
    CHECK (
        (state = 'done' OR state = 'failed' OR state = 'cancelled') = (finished_at IS NOT NULL)
    ),
    CHECK ((state = 'failed') = (reason IS NOT NULL)),
    CHECK (kind != 'fold' OR state != 'done' OR test_scores IS NOT NULL)
) STRICT"""

_ATTEMPT = f"""(
    id INTEGER PRIMARY KEY,
    task_id INTEGER NOT NULL REFERENCES task(id) ON DELETE CASCADE,
    engine_id INTEGER NOT NULL REFERENCES engine(id),
    batch INTEGER NOT NULL,           -- attempts sent together share it
    submitted_at TEXT NOT NULL,
    finished_at TEXT,
    outcome TEXT CHECK (outcome IS NULL OR {_is_among("outcome", Outcome)}),
    error TEXT,
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
) STRICT"""

_CHEAP_RULES = (
    "CREATE INDEX task_job_state ON task (job_id, state, id)",
    "CREATE UNIQUE INDEX task_once ON task (job_id, kind) WHERE kind != 'fold'",
    "CREATE INDEX attempt_task ON attempt (task_id)",
    "CREATE INDEX attempt_open ON attempt (id) WHERE outcome IS NULL",
    f"""CREATE TRIGGER task_moves BEFORE UPDATE OF state ON task
WHEN NOT (OLD.state = NEW.state OR {_TASK_MOVES})
    AND NOT (OLD.state = 'done' AND NEW.state = 'pending'
        AND ({_is_among("OLD.kind", REPEATABLE_KINDS)}))
BEGIN SELECT RAISE(ABORT, 'a task cannot move that way'); END""",
    """CREATE TRIGGER attempt_ends_once AFTER UPDATE ON attempt
WHEN OLD.outcome IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an attempt ends once'); END""",
    # What asks about few rows of many.
    "CREATE INDEX attempt_notable ON attempt (id) WHERE outcome NOT IN ('ok', 'returned')",
    "CREATE INDEX job_digest ON job (file_digest)",
    "CREATE INDEX job_twin ON job (same_content_as) WHERE same_content_as IS NOT NULL",
    "CREATE INDEX event_pruned ON event (id) WHERE kind = 'job pruned'",
    # What a search was spared, kept by the writer like the other counts of a job.
    "ALTER TABLE job ADD COLUMN n_reused INTEGER NOT NULL DEFAULT 0",  # folds from the records
    "ALTER TABLE job ADD COLUMN spared_seconds REAL NOT NULL DEFAULT 0",  # of fits, shared
    """UPDATE job SET n_reused = counted.n_reused, spared_seconds = counted.spared_seconds
FROM (SELECT job_id, count(origin_task_id) AS n_reused,
        coalesce(sum(CASE WHEN origin_task_id IS NULL THEN spared_time END), 0) AS spared_seconds
    FROM task WHERE origin_task_id IS NOT NULL OR spared_time IS NOT NULL GROUP BY job_id
) AS counted WHERE counted.job_id = job.id""",
    """CREATE VIEW fold AS
SELECT task.id AS task_id, task.job_id, job.name AS job, candidate.number AS candidate,
       candidate.iteration, candidate.params, task.split, task.state, task.reason,
       task.test_scores, task.train_scores, task.fit_time, task.spared_time, task.score_time,
       task.error, task.origin_task_id, task.started_at, task.finished_at
FROM task JOIN candidate ON candidate.id = task.candidate_id JOIN job ON job.id = task.job_id""",
    """CREATE VIEW task_attempt AS
SELECT attempt.id AS attempt_id, task.job_id, task.id AS task_id, task.kind,
       candidate.number AS candidate, task.split, attempt.batch, attempt.engine_id,
       engine.host, engine.pid, attempt.submitted_at, attempt.finished_at, attempt.outcome,
       attempt.error
FROM attempt JOIN task ON task.id = attempt.task_id JOIN engine ON engine.id = attempt.engine_id
LEFT JOIN candidate ON candidate.id = task.candidate_id""",
)


@migrations()
def m005_steering(db: sqlite_utils.Database) -> None:
    """Add what people set while searches run: limits of tags, and the hold of the whole queue."""
    db.execute("""CREATE TABLE tag_limit (
    tag TEXT PRIMARY KEY,
    max_jobs INTEGER CHECK (max_jobs > 0),        -- null: as many as there are
    max_engines INTEGER CHECK (max_engines > 0),  -- null: as many as there are
    set_at TEXT NOT NULL
) STRICT""")
    db.execute("""CREATE TABLE hold (
    id INTEGER PRIMARY KEY CHECK (id = 1),        -- one row while the whole queue is held, or none
    since TEXT NOT NULL
) STRICT""")


@migrations()
def m006_hooks(db: sqlite_utils.Database) -> None:
    """Add the calls of hooks that are still to be made."""
    db.execute("""CREATE TABLE hook_call (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES job(id) ON DELETE CASCADE,
    hook TEXT NOT NULL,               -- a digest of what the settings say of it
    state TEXT NOT NULL,              -- the job's, as it ended
    ended_at TEXT NOT NULL,
    n_tries INTEGER NOT NULL DEFAULT 0,
    due_at TEXT NOT NULL
) STRICT""")
    db.execute("CREATE INDEX hook_call_due ON hook_call (due_at)")
    db.execute("CREATE INDEX hook_call_job ON hook_call (job_id)")
