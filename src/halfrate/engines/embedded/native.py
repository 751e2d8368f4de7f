"""The one door to OpenVINO: imported only in the child process, and never with its telemetry."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    import openvino


# What native exceptions become in Python, by the kind of the native exception.
ERRORS = (RuntimeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, whatever kind it has become on its way to Python."""
    return isinstance(error, MemoryError) or "bad_alloc" in str(error)


def genai() -> Any:
    """The pipeline's Python module, ``openvino_genai``. Raise `ImportError`."""
    _without_telemetry()
    import openvino_genai  # noqa: PLC0415

    return openvino_genai


def runtime() -> Any:
    """The runtime's Python module. Raise `ImportError`."""
    _without_telemetry()
    import openvino  # noqa: PLC0415

    return openvino


def operations() -> Any:
    """The operations that graphs are built of. Raise `ImportError`."""
    _without_telemetry()
    from openvino import opset13  # noqa: PLC0415

    return opset13


def tensor(tokens: list[int]) -> openvino.Tensor:
    """A batch of one prompt."""
    _without_telemetry()
    import numpy  # noqa: PLC0415
    import openvino  # noqa: PLC0415

    row: numpy.ndarray[tuple[int, int], numpy.dtype[numpy.int64]] = numpy.array([tokens], dtype=numpy.int64)
    return openvino.Tensor(row)


def computes_in_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16; emulated, it is slower than 32 bits."""
    _without_telemetry()
    import openvino  # noqa: PLC0415

    capabilities: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


def _without_telemetry() -> None:
    """Importing `openvino` sends an event to a statistics service unless this module cannot be imported.

    Its opt-out is a file in the home directory, or the variables of a CI system; neither is ours to set.
    With the name blocked, OpenVINO uses the stub it ships for machines without the telemetry package.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    modules["openvino_telemetry"] = None


def physical_cores() -> int:
    """Cores this process may use: by affinity, without hyperthreads, within the quota. At least 1."""
    cores = math.ceil(min(_cores_by_affinity(), _quota_cores()))
    return max(1, cores)


def memory_bytes() -> int:
    """Memory this process may use: the machine's, within the container's bound; 4 GiB where nobody tells."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 4 * 2**30
    try:
        return min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return memory


def available_bytes() -> int:
    """Memory this process may take now, with what the system would give up for it."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):  # not on this system
        free = memory_bytes()
    return min(free, _container_room_bytes())


def _container_room_bytes() -> int:
    limit = memory_bytes()
    try:
        return limit - int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return limit


def hardware_threads() -> int:
    """Threads the hardware runs at once that this process may use, hyperthreads counted. At least 1."""
    try:
        threads = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        threads = os.cpu_count() or 1
    return max(1, math.ceil(min(threads, _quota_cores())))


def _cores_by_affinity() -> int:
    try:
        cpus = os.sched_getaffinity(0)
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
    siblings = {_siblings(cpu) for cpu in cpus}
    return len(siblings)


def _siblings(cpu: int) -> str:
    """The hardware threads that share this one's core; a name of its own where the system does not tell."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text().strip()
    except OSError:
        return f"cpu{cpu}"


def _quota_cores() -> float:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return float(quota) / float(period)
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf
