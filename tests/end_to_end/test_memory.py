"""Memory does not grow with the Job."""

import json
import subprocess
import sys

from tests.support.processes import ROOT


def peak_rss_mb(requests: int) -> float:
    """Run a whole Job on an engine that answers at once, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.pipeline", "--arm", "service", "--requests", str(requests)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    return float(json.loads(ended.stdout)["peak_rss_mb"])


def test_three_times_the_requests_need_the_same_memory():
    """100,000 more Requests of 200 bytes: kept as Python objects they would need another 100 MB.

    The smaller Job already fills the memory that sorting may take.
    """
    small, large = peak_rss_mb(50_000), peak_rss_mb(150_000)
    assert large < small * 1.15, f"{small:.0f} MB became {large:.0f} MB"
