"""The Python client of a halfrate server. Needs only the standard library and the domain."""

from halfrate.client.client import Client
from halfrate.client.views import FileView, JobError, JobView, ModelView

__all__ = ["Client", "FileView", "JobError", "JobView", "ModelView"]
