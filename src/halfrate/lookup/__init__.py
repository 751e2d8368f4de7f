"""What Requests name and do not hold: cached contents, Files and documents, looked up before an Engine."""
