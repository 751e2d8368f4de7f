"""How a model is made to think before it answers, or not to. Pure.

A thought is a call of the pipeline by itself, which ends at the mark, or where the budget ends; the answer is
a second one, whose prompt is all that came before, from the cache. So stop strings and grammars concern the
answer only, and a budget can be kept to the token.
"""

from __future__ import annotations

from collections.abc import Mapping

from halfrate.domain.request import Sampling

BEGIN, END = "<think>", "</think>"
BEGUN = f"{BEGIN}\n"
AFTER = "\n\n"
ENDED = f"\n{END}{AFTER}"

SWITCH = "enable_thinking"
"""What chat templates call the choice."""


def wanted(sampling: Sampling) -> bool | None:
    """Whether a Request asks for a thought; None if it leaves that to the model's settings and template."""
    if sampling.thinking_budget is not None:
        return sampling.thinking_budget != 0
    return True if sampling.include_thoughts else None


def opened(prompt: str, want: bool | None, options: Mapping[str, object]) -> tuple[str, bool]:
    """The rendered prompt of a model that thinks, where a thought begins, or an answer; and which."""
    is_open = prompt.rstrip().endswith(BEGIN)
    thinking = is_open or bool(options.get(SWITCH)) if want is None else want
    if thinking and not is_open:
        return prompt + BEGUN, True
    if is_open and not thinking:
        return prompt.rstrip() + "\n" + ENDED, False
    return prompt, thinking


def bound(sampling: Sampling, output_tokens: int) -> int:
    """How many tokens a thought may take of an answer that may take ``output_tokens`` with it."""
    budget = sampling.thinking_budget
    return output_tokens if budget is None or budget < 0 else min(budget, output_tokens)
