"""``python -m halfrate`` is the command ``halfrate``."""

from halfrate.cli import main

main()
