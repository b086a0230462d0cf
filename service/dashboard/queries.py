"""The common questions, as queries of Datasette's with parameters.

A job's number left empty means the job submitted last, so that each query answers something at
once, and looks at one search only. What looks at all searches looks at the table `job`, which keeps
counts of each, or at as many of the latest attempts as it says.
"""

import re
from textwrap import dedent
from typing import Any

#: The job that is asked for: indexes serve it as they serve a number.
_JOB = "(SELECT CASE WHEN :job = '' THEN (SELECT max(id) FROM job) ELSE CAST(:job AS INTEGER) END)"

#: Folds of a search up to which all of them are looked at. Reading a score takes a microsecond or
#: two; the number of a split stands in an index, so that of larger searches the folds of the first
#: split are found without reading the others.
_ALL_FOLDS = 200_000

#: The job, where the metric stands in its scores, and how many splits are looked at.
_ASKED = f"""
          SELECT id, '$."' || coalesce(nullif(:metric, ''), scoring ->> '$[0]') || '"' AS path,
                 CASE WHEN n_tasks > {_ALL_FOLDS} THEN 1 ELSE n_tasks END AS n_splits_seen
          FROM job WHERE id = {_JOB}
        """

_ORDER = ("job", "parameter", "metric", "data", "estimator", "days", "kind", "outcome")

_OF_JOB = "Job: its number; empty: the one submitted last."


def _query(title: str, description: str, sql: str) -> dict[str, Any]:
    text = dedent(sql).strip()
    # In the order of their description; Datasette would take any.
    names = sorted(set(re.findall(r":([a-z]+)", text)), key=_ORDER.index)
    return {
        "title": title,
        "description": description,
        "sql": text,
        "params": names,
        "hide_sql": True,
    }


QUERIES: dict[str, dict[str, Any]] = {
    "best_candidates": _query(
        "Best candidates of a job",
        f"{_OF_JOB} Metric: empty for the first one. Mean over finished folds, with its standard"
        " error; also of a search that is not finished, by any of several metrics. Of more than"
        f" {_ALL_FOLDS:,} folds: of the thousand candidates that did best on the first split.",
        f"""
        WITH asked AS ({_ASKED}), hopeful AS (
          SELECT task.job_id, task.candidate_id, path, avg(test_scores ->> path) AS first_mean
          FROM asked CROSS JOIN task ON task.job_id = asked.id AND task.candidate_id > 0
          WHERE task.split < n_splits_seen AND +task.state = 'done'
          GROUP BY task.candidate_id ORDER BY first_mean DESC LIMIT 1000
        ), ranked AS (
          SELECT hopeful.job_id, hopeful.candidate_id, path,
                 avg(test_scores ->> path) AS mean, count(test_scores ->> path) AS n
          FROM hopeful CROSS JOIN task ON task.job_id = hopeful.job_id
            AND task.candidate_id = hopeful.candidate_id
          WHERE +task.state = 'done'
          GROUP BY hopeful.candidate_id ORDER BY mean DESC LIMIT 100
        )
        SELECT candidate.job_id, candidate.number AS candidate, candidate.params,
               round(mean, 6) AS mean_score,
               (SELECT CASE WHEN n > 1 THEN
                         round(sqrt(avg(pow((test_scores ->> path) - mean, 2)) / (n - 1)), 6) END
                FROM task WHERE task.job_id = ranked.job_id AND +task.state = 'done'
                  AND task.candidate_id = ranked.candidate_id) AS standard_error,
               n AS folds
        FROM ranked JOIN candidate ON candidate.id = ranked.candidate_id ORDER BY mean DESC
        """,
    ),
    "dearest_candidates": _query(
        "Dearest candidates of a job",
        f"{_OF_JOB} The hundred candidates whose folds took most seconds together.",
        f"""
        WITH cost AS (
          SELECT candidate_id, count(*) AS folds, sum(fit_time) AS fit, sum(score_time) AS score,
                 max(fit_time) AS longest
          FROM task WHERE job_id = {_JOB} AND candidate_id > 0 AND fit_time IS NOT NULL
          GROUP BY candidate_id ORDER BY sum(fit_time + coalesce(score_time, 0)) DESC LIMIT 100
        )
        SELECT candidate.job_id, candidate.number AS candidate, candidate.params, folds,
               round(fit + coalesce(score, 0), 3) AS total_seconds,
               round(fit / folds, 4) AS mean_fit_seconds, round(longest, 4) AS longest_fit_seconds
        FROM cost JOIN candidate ON candidate.id = cost.candidate_id ORDER BY total_seconds DESC
        """,
    ),
    "slowest_folds": _query(
        "Slowest folds of a job",
        f"{_OF_JOB} The hundred folds whose fits took longest.",
        f"""
        WITH slowest AS (
          SELECT id, fit_time FROM task
          WHERE job_id = {_JOB} AND kind = 'fold' AND fit_time IS NOT NULL
          ORDER BY fit_time DESC LIMIT 100
        )
        SELECT fold.job_id, fold.task_id, fold.candidate, fold.split, fold.state,
               round(fold.fit_time, 4) AS fit_seconds, round(fold.score_time, 4) AS score_seconds,
               round(fold.spared_time, 4) AS spared_seconds, fold.params
        FROM slowest JOIN fold ON fold.task_id = slowest.id ORDER BY slowest.fit_time DESC
        """,
    ),
    "failures_by_error": _query(
        "Failures by error",
        "Job: its number; empty: all of them. Failed folds that share reason and error, the most"
        " frequent first, with the first of them.",
        """
        SELECT last_line(task.error) AS error, task.reason, count(*) AS folds,
               count(DISTINCT task.job_id) AS jobs, max(task.job_id) AS job_id,
               min(task.id) AS task_id
        FROM job CROSS JOIN task ON task.job_id = job.id AND task.state = 'failed'
        WHERE job.n_failed > 0 AND (:job = '' OR job.id = CAST(:job AS INTEGER))
        GROUP BY last_line(task.error), task.reason ORDER BY folds DESC LIMIT 200
        """,
    ),
    "score_by_parameter": _query(
        "Score by the values of a parameter",
        f"{_OF_JOB} Parameter: as in the search, such as svc__C; metric: empty for the first one."
        " Mean, best and worst score over all finished folds with each value; of more than"
        f" {_ALL_FOLDS:,} folds, over those of the first split.",
        f"""
        WITH asked AS ({_ASKED})
        SELECT asked.id AS job_id, candidate.params -> ('$."' || :parameter || '"') AS value,
               round(avg(test_scores ->> path), 6) AS mean_score,
               round(min(test_scores ->> path), 6) AS worst_fold,
               round(max(test_scores ->> path), 6) AS best_fold,
               count(*) AS folds, round(avg(task.fit_time), 4) AS mean_fit_seconds
        FROM asked CROSS JOIN task ON task.job_id = asked.id AND task.candidate_id > 0
        JOIN candidate ON candidate.id = task.candidate_id
        WHERE task.split < n_splits_seen AND +task.state = 'done'
        GROUP BY value ORDER BY mean_score DESC LIMIT 500
        """,
    ),
    "best_per_data": _query(
        "Best per estimator and data set",
        "Data, estimator: a part of the name; empty: all. The best search of each estimator on each"
        " data set, by each metric it was judged by.",
        """
        SELECT data, estimator, scoring ->> '$[0]' AS first_metric, round(max(best_score), 6)
               AS best_score, id AS job_id, name AS job, best_params, count(*) AS jobs
        FROM job WHERE best_score IS NOT NULL
          AND (:data = '' OR instr(lower(data), lower(:data)))
          AND (:estimator = '' OR instr(lower(estimator), lower(:estimator)))
        GROUP BY data, estimator, scoring ORDER BY data, best_score DESC LIMIT 1000
        """,
    ),
    "jobs_like_this": _query(
        "Jobs like this one",
        f"{_OF_JOB} Other searches on the same data, those with the same estimator first.",
        f"""
        SELECT other.id AS job_id, other.name AS job, other.state, other.estimator, other.data,
               other.strategy, other.n_candidates, round(other.best_score, 6) AS best_score,
               other.best_params, other.file_digest = this.file_digest AS same_file,
               other.submitted_at
        FROM job AS this JOIN job AS other ON other.id != this.id
          AND (other.data_fingerprint = this.data_fingerprint OR other.data = this.data
               OR other.file_digest = this.file_digest)
        WHERE this.id = {_JOB}
        ORDER BY other.estimator = this.estimator DESC, other.best_score DESC NULLS LAST LIMIT 200
        """,
    ),
    "dearest_jobs": _query(
        "Dearest jobs",
        "Days: how far to look back; empty: 30. Seconds of fitting and scoring, all engines"
        " together, and what was spared by sharing fits.",
        """
        SELECT id AS job_id, name AS job, state, estimator, data, n_done AS folds,
               round(fold_seconds, 1) AS fold_seconds, round(spared_seconds, 1) AS spared_seconds,
               n_reused AS reused_folds, submitted_at
        FROM job WHERE submitted_at >= since(:days, 30)
        ORDER BY job.fold_seconds DESC LIMIT 100
        """,
    ),
    "time_by_tag": _query(
        "Time by tag",
        "Jobs, folds and hours of fitting under each tag.",
        """
        SELECT tag.value AS tag, count(*) AS jobs, sum(n_done) AS folds, sum(n_failed) AS failed,
               round(sum(fold_seconds) / 3600, 3) AS fold_hours, max(submitted_at) AS last_submitted
        FROM job, json_each(job.tags) AS tag GROUP BY tag.value ORDER BY fold_hours DESC LIMIT 500
        """,
    ),
    "folds_per_hour": _query(
        "Folds per hour",
        "Attempts that ended in each hour (UTC), among the last 100,000; the latest hour first.",
        """
        SELECT strftime('%Y-%m-%d %H:00', finished_at) AS hour, count(*) AS attempts,
               sum(outcome = 'ok') AS done, sum(outcome = 'error') AS errors,
               sum(outcome = 'timeout') AS timeouts, sum(outcome = 'engine_lost') AS lost,
               count(DISTINCT engine_id) AS engines
        FROM (SELECT finished_at, outcome, engine_id FROM attempt ORDER BY id DESC LIMIT 100000)
        WHERE outcome IS NOT NULL GROUP BY hour ORDER BY hour DESC LIMIT 500
        """,
    ),
    "engines_lost": _query(
        "Engines lost",
        "Days: how far to look back; empty: 30. Engines that went otherwise than with their"
        " scheduler, why, and how many attempts each took along.",
        """
        SELECT engine.id AS engine_id, engine.host, engine.pid, engine.joined_at, engine.left_at,
               engine.left_because,
               (SELECT count(*) FROM attempt WHERE outcome NOT IN ('ok', 'returned')
                AND outcome = 'engine_lost' AND attempt.engine_id = engine.id) AS attempts_lost
        FROM engine WHERE left_because != 'the scheduler ended'
          AND left_at >= since(:days, 30)
        ORDER BY left_at DESC LIMIT 200
        """,
    ),
    "odd_attempts": _query(
        "Attempts that ended oddly",
        "Outcome: error, timeout, engine_lost, cancelled, superseded; empty: all of these. The last"
        " five hundred.",
        """
        SELECT task_attempt.job_id, task_attempt.task_id, task_attempt.kind, task_attempt.candidate,
               task_attempt.split, task_attempt.outcome, last_line(task_attempt.error) AS error,
               task_attempt.engine_id, task_attempt.host, task_attempt.submitted_at,
               task_attempt.finished_at
        FROM (SELECT id FROM attempt WHERE outcome NOT IN ('ok', 'returned')
              AND (:outcome = '' OR outcome = :outcome) ORDER BY id DESC LIMIT 500) AS odd
        CROSS JOIN task_attempt ON task_attempt.attempt_id = odd.id ORDER BY odd.id DESC
        """,
    ),
    "reused_folds": _query(
        "Reused folds of a job",
        f"{_OF_JOB} From which earlier searches its folds were taken over, and the seconds that"
        " they had taken there.",
        f"""
        SELECT origin.job_id AS job_id, job.name AS job, count(*) AS folds,
               round(sum(origin.fit_time + coalesce(origin.score_time, 0)), 3) AS spared_seconds,
               min(origin.finished_at) AS first_computed
        FROM task JOIN task AS origin ON origin.id = task.origin_task_id
        JOIN job ON job.id = origin.job_id
        WHERE task.job_id = {_JOB} AND task.origin_task_id IS NOT NULL
        GROUP BY origin.job_id ORDER BY folds DESC LIMIT 200
        """,
    ),
    "latest_events": _query(
        "Latest events",
        "Kind: a part of it, such as lost or moved; empty: all. The last five hundred.",
        """
        SELECT at, kind, message, job_id, engine_id, task_id FROM event
        WHERE :kind = '' OR instr(kind, :kind) ORDER BY id DESC LIMIT 500
        """,
    ),
    "unfinished_jobs": _query(
        "What is still to do",
        "Jobs that have not ended, in the order in which engines go to them, and their folds left.",
        """
        SELECT id AS job_id, name AS job, state, priority, max_engines,
               n_tasks - n_done - n_failed AS folds_left, n_done AS done, n_failed AS failed,
               round(CASE WHEN n_done > 0 THEN fold_seconds / n_done * (n_tasks - n_done - n_failed)
                     END, 1) AS engine_seconds_left, reason, submitted_at
        FROM job WHERE state IN ('queued', 'preparing', 'running', 'refitting', 'paused')
        ORDER BY priority DESC, id LIMIT 1000
        """,
    ),
}
