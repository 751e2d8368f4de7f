"""What turns a Request into an Outcome. Engines know nothing of Jobs."""
