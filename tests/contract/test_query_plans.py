"""No query slows down with the number of Jobs that have ended: each finds its rows by an index."""

import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from halfrate.store.meta import queries
from halfrate.store.meta.migrations import migrations
from halfrate.store.meta.queries import query

NAMES = sorted(path.stem for path in Path(queries.__file__).parent.glob("*.sql"))

FOR_OPERATORS = {"contradictions"}
"""Looks at everything, when somebody asks for that."""

BOUNDED = {"job_unfinished", "job_deleted", "job_runnable"}
"""Indexes that may be walked from end to end: what they hold is bounded, or the walk has a limit."""

LARGE = ("job", "shard", "share", "segment", "file", "upload", "cache")


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    for step in migrations():
        connection.execute(step)
    yield connection
    connection.close()


def steps(connection: apsw.Connection, name: str) -> list[str]:
    text = query(name)
    values = dict.fromkeys(re.findall(r":(\w+)", text))
    return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FOR_OPERATORS])
def test_no_query_walks_through_a_whole_table(connection, name):
    for step in steps(connection, name):
        walked = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step)
        if walked and walked[1] in LARGE:
            assert walked[2] in BOUNDED, step


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("list_jobs", "SEARCH job USING INDEX job_by_age ((created_at,id)<(?,?))"),
        ("find_open_shard", "SCAN job USING INDEX job_runnable"),
        ("find_open_shard", "SEARCH shard USING COVERING INDEX shard_open (job_id=? AND engine=?)"),
        ("ahead", "SEARCH job USING INDEX job_runnable (priority>?)"),
        ("jobs_overdue", "SEARCH job USING INDEX job_by_deadline (deadline<?)"),
        ("blob_in_use", "SEARCH job USING INDEX job_by_input (input_blob=?)"),
        ("drain_job", "SEARCH shard USING COVERING INDEX shard_open (job_id=?)"),
        ("drain_job", "SEARCH shard USING COVERING INDEX shard_leased_of (job_id=?)"),
        ("segments_of_shard", "SEARCH segment USING PRIMARY KEY (job_id=? AND shard=?)"),
        ("jobs_done_with_input", "SEARCH job USING INDEX job_input_held (created_at<?)"),
        ("jobs_to_clear", "SEARCH job USING INDEX job_output_held (output_expires_at<?)"),
        ("jobs_to_clear", "SEARCH job USING INDEX job_without_output (ended_at>? AND ended_at<?)"),
        ("files_expired", "SEARCH file USING INDEX file_by_expiry (expires_at<?)"),
        ("uploads_begun_before", "SEARCH upload USING INDEX upload_by_age (created_at<?)"),
        ("deliveries_due", "SEARCH delivery USING INDEX delivery_by_due (due_at<?)"),
        (
            "drop_deliveries_of_disabled",
            "SEARCH delivery USING COVERING INDEX delivery_by_webhook (webhook_id=?)",
        ),
        ("caches_gone", "SEARCH cache USING INDEX cache_by_expiry (expires_at<?)"),
        ("list_caches", "SEARCH cache USING INDEX cache_by_age ((created_at,id)<(?,?))"),
        ("leased_shards", "SEARCH shard USING INDEX shard_leased (lapses_at<?)"),
    ],
)
def test_a_hot_query_uses_its_index(connection, name, step):
    assert step in steps(connection, name)


@pytest.mark.parametrize(
    "name", ["list_jobs", "find_open_shard", "list_files", "files_expired", "jobs_done_with_input"]
)
def test_what_is_read_in_order_is_not_sorted(connection, name):
    assert not any("TEMP B-TREE" in step for step in steps(connection, name))
