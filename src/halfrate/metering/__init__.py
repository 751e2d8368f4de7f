"""Usage into money. Pure, and in integers."""
