"""What an Engine's work comes to."""

import pytest

from halfrate.domain.usage import Usage
from halfrate.metering.meter import JOBS_MAX, Histogram, Meter


def test_a_histogram_counts_up_to_each_bound():
    histogram = Histogram((1, 10))
    for value in (0.5, 1, 2, 10, 11):
        histogram.add(value)
    assert (histogram.counts, histogram.sum) == ([2, 2, 1], 24.5)


def test_each_job_has_a_pace_of_its_own_and_all_together_one():
    meter = Meter()
    for job_id, start, results in (("quick", 0.0, 10), ("slow", 100.0, 1)):
        meter.begin(job_id, start)
        for second in range(100):
            usage = Usage(100 * results, results, 50 * results)
            meter.settled(job_id, results, usage=usage, seconds=0.01, now=start + second + 0.5)
        meter.end(job_id, start + 100)
    quick, slow = meter.pace_of("quick"), meter.pace_of("slow")
    assert quick is not None
    assert slow is not None
    assert quick.per_second(200.0) == pytest.approx(10, rel=0.05)
    assert slow.per_second(200.0) == pytest.approx(1, rel=0.1)
    assert meter.pace.results == 1_100
    assert meter.group_sizes.counts[:3] == [100, 0, 100]
    assert sum(meter.settle_seconds.counts) == 200
    assert meter.usage == Usage(110_000, 1_100, 55_000)


def test_it_remembers_a_bounded_number_of_jobs():
    meter = Meter()
    for number in range(JOBS_MAX + 1):
        meter.begin(str(number), float(number))
    assert meter.pace_of("0") is None
    assert meter.pace_of(str(JOBS_MAX)) is not None
    meter.settled("0", 1, seconds=0.1, now=1_000.0)
    meter.end("0", 1_000.0)
