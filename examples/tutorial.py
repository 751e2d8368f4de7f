"""Batch Mode step by step: upload a file, make a batch, look until it is done, print the answers.

Start a server first (``halfrate serve``), then run ``python examples/tutorial.py``. HALFRATE_URL names
another server.
"""

import sys
import time
from pathlib import Path

import halfrate.genai as genai

REQUESTS = Path(__file__).with_name("batch_requests.jsonl")
MODEL = "pocket-1"
LOOK_EVERY_SECONDS = 1.0

genai.configure()

uploaded = genai.upload_file(path=sys.argv[1] if len(sys.argv) > 1 else REQUESTS)
print(f"Uploaded {uploaded.display_name} as {uploaded.name}")

job = genai.create_batch_job(
    model=MODEL,
    requests=uploaded,
    config={"display_name": "tutorial"},
)
print(f"Created {job.name} ({job.display_name})")

while job.state.name in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING"):
    time.sleep(LOOK_EVERY_SECONDS)
    job = genai.get_batch_job(name=job.name)
    done = job.batch_stats.request_count - job.batch_stats.pending_request_count
    print(f"{job.state.name}: {done} of {job.batch_stats.request_count}")

if job.state.name == "JOB_STATE_SUCCEEDED" and job.result_file:
    results = genai.download_file(name=job.result_file.name).read()
    for line in results.decode().splitlines():
        print(line)
elif job.state.name == "JOB_STATE_FAILED":
    print(f"The batch failed: {job.error}")
    sys.exit(1)
else:
    print(f"The batch ended as {job.state.name}")
    sys.exit(1)
