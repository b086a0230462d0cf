"""The reference of the records, from the tables that the migrations make."""

import re
from collections.abc import Iterable

from manual import ddl
from manual.markdown import MADE, code, table
from schemas.lifecycle import JOB_MOVES, TASK_MOVES

#: What a row of each table and view is.
ROWS = {
    "job": "A search: what was asked, how far it is, what came out.",
    "candidate": "One setting of the parameters that a search tries.",
    "engine": "An ipyparallel engine that has joined, with the reason why it left.",
    "task": "A piece of work on an engine: one fold (a candidate on a split), the preparation of "
    "the data, or the refit of the winner.",
    "attempt": "A task sent to an engine once. A task that was sent again has several.",
    "event": "Something that happened, in words.",
    "hook_call": "A call of a hook that is still to be made; what came of it is an event.",
    "hold": "Says that the whole queue is held, while it is.",
    "tag_limit": "What `foldq set` said that the jobs of a tag may use together.",
    "fold": "The folds alone, with the names of job and candidate beside them.",
    "task_attempt": "The attempts, with task, candidate and engine beside them.",
    "live_engine": "The engines that are there now, or were when the scheduler last looked.",
}

#: What columns are whose name and whose comment in the DDL do not say it.
WORDS = {
    "attempt.engine_id": "where it was sent",
    "attempt.error": "what was raised, with its traceback",
    "attempt.finished_at": "when its result came, or it was given up",
    "attempt.id": "number of the attempt",
    "attempt.outcome": "how it ended; null while it is open",
    "attempt.submitted_at": "when it was sent",
    "attempt.task_id": "what was sent",
    "candidate.content_key": "digest of all that decides its scores",
    "candidate.id": "number of the candidate among those of all searches",
    "candidate.iteration": "in which it is tried",
    "candidate.job_id": "the search it belongs to",
    "candidate.n_resources": "what its folds are given",
    "candidate.params": "its parameters, as the job file spells them",
    "engine.cluster": "where it belongs",
    "engine.host": "machine it runs on",
    "engine.id": "number of the engine among all that ever joined",
    "engine.identity": "by what a later scheduler knows it again: ipyparallel's own name of it",
    "engine.joined_at": "when it joined",
    "engine.left_at": "when it was gone; null while it lives",
    "engine.left_because": "why it left",
    "engine.pid": "its process on that machine",
    "engine.versions": "of Python and the packages there",
    "event.at": "when",
    "event.engine_id": "the engine it tells of",
    "event.id": "number of the event",
    "event.job_id": "the job it tells of",
    "event.kind": "what happened",
    "event.message": "the same in a sentence",
    "event.task_id": "the task it tells of",
    "hold.since": "when it was held",
    "hook_call.due_at": "when it is to be tried next",
    "hook_call.ended_at": "when the job ended",
    "hook_call.id": "number of the call",
    "hook_call.job_id": "of which job",
    "hook_call.n_tries": "how often it was tried",
    "job.best_index": "the best candidate",
    "job.best_params": "its parameters",
    "job.best_score": "its score",
    "job.data": "the data's name",
    "job.data_fingerprint": "digest of the data's content",
    "job.estimator": "the model's name",
    "job.file_bytes": "the job file itself",
    "job.file_digest": "digest of the job file",
    "job.file_name": "name of the job file",
    "job.finished_at": "when it completed, failed or was cancelled",
    "job.id": "number of the job",
    "job.max_engines": "most engines at once; null: no limit",
    "job.n_candidates": "number of candidates",
    "job.n_done": "folds done",
    "job.n_failed": "folds failed",
    "job.n_features": "columns of the data",
    "job.n_reused": "folds that were not computed",
    "job.n_samples": "rows of the data",
    "job.n_splits": "splits of the cross-validation",
    "job.n_tasks": "number of folds",
    "job.name": "its name, not unique",
    "job.prepared": "what the preparation found out",
    "job.priority": "higher is sooner",
    "job.refitted": "the saved winner: its file, format and time",
    "job.same_content_as": "the earlier job whose file had the same content",
    "job.scoring": "what candidates are judged by",
    "job.spared_seconds": "seconds that were not spent",
    "job.spec": "the whole job file",
    "job.started_at": "when its data were first prepared",
    "job.state": "where it stands",
    "job.strategy": "`grid`, `random`, `halving_grid` or `halving_random`",
    "job.submitted_at": "when it was admitted",
    "job.tags": "words to find it by",
    "job.versions": "of Python and the packages that decide numbers",
    "tag_limit.max_engines": "most engines that work for them at once",
    "tag_limit.max_jobs": "most of them at work at once",
    "tag_limit.set_at": "when that was said",
    "tag_limit.tag": "the tag",
    "task.candidate_id": "of a fold: the candidate",
    "task.error": "what was raised, with its traceback",
    "task.finished_at": "when it was done, failed or cancelled",
    "task.fit_time": "time of the fit",
    "task.id": "number of the task",
    "task.job_id": "the search it belongs to",
    "task.kind": "what is to be done",
    "task.n_attempts": "attempts that count",
    "task.n_engines_lost": "engines that died over it",
    "task.origin_task_id": "where a result that was taken over comes from",
    "task.reason": "why it failed for good",
    "task.score_time": "time of the scoring",
    "task.split": "of a fold: the split, from 0",
    "task.state": "where it stands",
    "task.test_scores": "score on the test part, by metric",
    "task.train_scores": "score on the training part, by metric, where it was asked for",
    "task.warnings": "what the fit warned of",
}

_AMONG = re.compile(r"\w+ IN \(([^()]*)\)|\w+ = '\w+'(?: OR \w+ = '\w+')+")
_CHECK = re.compile(r"\bCHECK \((.*)\)")


def page() -> str:
    """Write the page.

    Raises
    ------
    LookupError
        A table or column of which neither the DDL nor this module says what it is.
    """
    tables, views = ddl.read()
    parts = [
        "# Tables",
        MADE,
        "The records are one SQLite file, `foldq.db` in the spool. Read it with whatever reads "
        "SQLite, while a scheduler runs too: "
        '`sqlite3 "file:spool/foldq.db?mode=ro"`. Only the scheduler writes it. Times are '
        "ISO-8601 in UTC, durations seconds; *JSON* is text that holds a JSON document. "
        "[Ask about past searches](how-to-history.md) has questions to begin with.",
        "A column is needed unless its type says *or null*.",
        *_all(tables, "Tables"),
        *_all(views, "Views"),
        "## Lives {#lives}",
        "What state may follow which. A trigger refuses every other move, whoever tries it.",
        _moves("job", JOB_MOVES),
        _moves("task", TASK_MOVES),
    ]
    return "\n\n".join(parts) + "\n"


def meaning(owner: str, column: ddl.Column) -> str:
    """Say what a column holds: the words above, and the comment in the DDL.

    Raises
    ------
    LookupError
        There is neither.
    """
    name = ".".join(column.origin or (owner, column.name))
    told, comment = WORDS.get(name, ""), column.comment
    if not told and not comment:
        raise LookupError(
            f"nothing says what {name} is: write a comment beside it in service/migrations.py"
        )
    if "'" in comment or "_" in comment or "." in comment.strip("."):
        comment = re.sub(
            r"'[^']*'|\b\w+(?:[._/]\w*)+|\[.*\]", lambda m: code(m[0].strip("'")), comment
        )
    return f"{told} ({comment})" if told and comment else told or comment


def _all(owners: "list[ddl.Table] | list[ddl.View]", title: str) -> list[str]:
    parts = [f"## {title}"]
    for owner in owners:
        if owner.name not in ROWS:
            raise LookupError(f"manual/tables.py does not say what a row of {owner.name} is")
        parts += [f"### `{owner.name}` {{#{owner.name}}}", ROWS[owner.name]]
        parts.append(_columns(owner))
        if isinstance(owner, ddl.View):
            parts.append(_folded("The SELECT it stands for", owner.select))
            continue
        if owner.rules:
            parts += [
                "Rules for a row:",
                _list(map(_rule, owner.rules)),
            ]
        if owner.indexes:
            parts += ["Indexes:", _list(map(_index, owner.indexes))]
        parts += [_folded(f"Trigger {code(_name(t))}", t) for t in owner.triggers]
    return parts


def _columns(owner: "ddl.Table | ddl.View") -> str:
    rows = []
    for column in owner.columns:
        kind = "JSON" if "json_valid" in column.definition else column.type.lower()
        said = meaning(owner.name, column)
        comes = f"`{'.'.join(column.origin)}`" if column.origin else ""
        null = " or null" if column.may_be_null else ""
        rules = "" if column.origin else _rules(column.definition)
        rows.append((f"`{column.name}`", kind + null, said, comes, rules))
    return table(("Column", "Type", "Meaning", "From", "Rules"), rows)


def _rules(definition: str) -> str:
    """Say the rules of one column: default, reference, and what it is checked for."""
    told = []
    if "PRIMARY KEY" in definition:
        told.append("primary key")
    if default := re.search(r"DEFAULT (\S+)", definition):
        told.append(f"default {code(default[1])}")
    if reference := re.search(r"REFERENCES (\w+)\((\w+)\)( ON DELETE CASCADE)?", definition):
        goes = ", and goes with it" if reference[3] else ""
        told.append(f"refers to [`{reference[1]}.{reference[2]}`](#{reference[1]}){goes}")
    if (check := _CHECK.search(definition)) and "json_valid" not in check[1]:
        among = _AMONG.search(check[1])
        words = re.findall(r"'(\w+)'", among[0]) if among else []
        told.append("one of " + ", ".join(map(code, words)) if words else code(check[1]))
    return "; ".join(told)


def _rule(sql: str) -> str:
    """Say a rule for whole rows: a check without what only SQL needs."""
    return code(check[1].strip() if (check := _CHECK.search(sql)) else sql)


def _index(sql: str) -> str:
    unique = " (unique)" if "UNIQUE" in sql else ""
    name, _, on = sql.partition(" ON ")
    return f"{code(name.split()[-1])} on {code(on)}{unique}"


def _name(sql: str) -> str:
    return sql.split()[2]


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _folded(title: str, sql: str) -> str:
    lines = "\n".join(f"    {line}" for line in sql.splitlines())
    return f'??? note "{title}"\n\n    ```sql\n{lines}\n    ```'


def _moves(what: str, moves: object) -> str:
    follow: dict[str, list[str]] = {}
    for old, new in sorted(moves):  # type: ignore[call-overload]
        follow.setdefault(str(old), []).append(code(new))
    return table(
        (f"From ({what})", "To"), [(code(old), ", ".join(new)) for old, new in follow.items()]
    )
