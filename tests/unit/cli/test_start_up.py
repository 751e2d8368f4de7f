import subprocess
import sys

HEAVY = ("rich", "google", "httpx", "msgspec", "openvino_genai", "starlette", "uvicorn", "apsw", "aiohttp")


def test_help_loads_nothing_heavy() -> None:
    """What makes `halfrate --help` quick, told without a stopwatch."""
    program = (
        f"import sys; import halfrate.cli.app; print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""
