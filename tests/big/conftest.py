import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "HALFRATE_BIG" not in os.environ:
        for item in items:
            if item.get_closest_marker("big"):
                item.add_marker(pytest.mark.skip(reason="takes half an hour: make big"))
