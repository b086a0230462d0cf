"""Folds loaded, sent and recorded."""

from benchmarks.scale.clock import Clock
from benchmarks.scale.madeup import BATCH, finish_folds, now
from benchmarks.scale.subject import Scale
from schemas.lifecycle import Outcome, TaskKind, TaskState
from schemas.task import FoldResult
from service.stimuli import Batch, Dispatch, EndTask

#: Folds sent and recorded one by one, to see what each costs; the others are made up in SQL.
N_RECORDED = 20_000


def dispatch(scale: Scale) -> None:
    """Load folds, send them, record their ends."""
    n = min(N_RECORDED, scale.n_folds // 4)
    with scale.measured.of("loading a page of folds", 0.2):
        tasks = scale.store.load_folds(scale.job_id, 0, 4000)
    while len(tasks) < n:
        tasks += scale.store.load_folds(scale.job_id, tasks[-1].task_id, 4000)
    tasks = tasks[:n]
    attempt, batch = scale.store.next_numbers()
    clock = Clock()
    for k in range(0, n, BATCH):
        numbered = tuple(enumerate(tasks[k : k + BATCH], start=attempt + k))
        sent = Batch(batch + k, scale.job_id, scale.engine_id, TaskKind.FOLD, numbered, 1.0)
        scale.store.record([Dispatch(sent)], now())
        scale.store.record([_end(scale, task.task_id, a) for a, task in numbered], now())
    scale.measured.add("recording a fold: sent and ended", *clock.read(n))
    last = _nth_fold(scale, scale.n_folds // 2)
    with scale.measured.of("(making up results of half of the folds)"):
        finish_folds(scale.store, scale.job_id, scale.engine_id, last)
    # What the scheduler had sent when it died.
    tasks = scale.store.load_folds(scale.job_id, last, 8)
    attempt, batch = scale.store.next_numbers()
    numbered = tuple(enumerate(tasks, start=attempt))
    sent = Batch(batch, scale.job_id, scale.engine_id, TaskKind.FOLD, numbered, 1.0)
    scale.store.record([Dispatch(sent)], now())


def _end(scale: Scale, task_id: int, attempt_id: int) -> EndTask:
    scores = {"score": 0.5 + task_id * 7919 % 499979 / 1e6}
    result = FoldResult(task_id, attempt_id, test_scores=scores, fit_time=1e-3, score_time=5e-4)
    return EndTask(
        scale.job_id, task_id, attempt_id, TaskKind.FOLD, TaskState.DONE, Outcome.OK,
        n_attempts=1, result=result,
    )  # fmt: skip


def _nth_fold(scale: Scale, n: int) -> int:
    row = scale.store.connection.execute(
        "SELECT id FROM task WHERE job_id = ? AND kind = 'fold' ORDER BY id LIMIT 1 OFFSET ?",
        (scale.job_id, n - 1),
    ).fetchone()
    return int(row[0])
