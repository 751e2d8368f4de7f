"""`python -m halfrate` is `halfrate`."""

from halfrate.cli import main

main()
