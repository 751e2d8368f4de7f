"""The shortest way through Batch Mode with the official SDK, pointed at ``halfrate serve``."""

import os
import time

from google import genai

url = os.environ.get("HALFRATE_URL", "http://127.0.0.1:8080")
client = genai.Client(api_key="none-needed", http_options={"base_url": url})
file = client.files.upload(file="examples/batch_requests.jsonl", config={"mime_type": "jsonl"})
job = client.batches.create(model="pocket-1", src=file.name)
while job.state.name in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING"):
    time.sleep(1)
    job = client.batches.get(name=job.name)
print(client.files.download(file=job.dest.file_name).decode())
