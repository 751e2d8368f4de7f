"""Function calls in text: told apart from it, and told to a model."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.request import (
    Choice,
    FunctionCall,
    FunctionDeclaration,
    FunctionReturn,
    Functions,
    Message,
    Request,
    Role,
)
from halfrate.engines.embedded import calls
from halfrate.engines.embedded.decoding import CallWatch
from halfrate.engines.embedded.prompts import prompt_bytes

WEATHER = FunctionDeclaration("weather", "Tells it.", '{"type":"object","properties":{"city":{}}}')
TIME = FunctionDeclaration("time")


def call(arguments: str, name: str = "weather") -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Just text. ", calls.Said("Just text.")),
        (call("{}"), calls.Said("", (FunctionCall("weather", "{}"),))),
        (call("{}") + "\n<tool_", calls.Said("", (FunctionCall("weather", "{}"),))),
        ("a <", calls.Said("a <")),
        (
            "Let me see.\n" + call('{ "city": 1e400}') + call("{}", "time") + " So.",
            calls.Said(
                "Let me see.\nSo.", (FunctionCall("weather", '{"city":1e400}'), FunctionCall("time", "{}"))
            ),
        ),
        (call('{"a": "</tool_call>"}'), calls.Said("", (FunctionCall("weather", '{"a":"</tool_call>"}'),))),
        ("a <tool_call>\n{", calls.Said("a", broken=True)),
        (call("{}") + "<tool_call>", calls.Said("", (FunctionCall("weather", "{}"),), broken=True)),
        (call("{}")[:-1], calls.Said("", broken=True)),
        ("<tool_call>[1]</tool_call>", calls.Said("", broken=True)),
        ('<tool_call>{"name": 1, "arguments": {}}</tool_call>', calls.Said("", broken=True)),
    ],
)
def test_calls_are_told_from_text(answer: str, said: calls.Said) -> None:
    assert calls.read(answer) == said


def test_calls_are_taken_up_to_the_first_that_was_made_before() -> None:
    one, other = FunctionCall("f", "{}"), FunctionCall("f", '{"a":1}')
    assert calls.before_repeat([one, other, one, other]) == (one, other)
    assert calls.before_repeat([one, one]) == (one,)
    assert calls.before_repeat([]) == ()


@given(st.lists(st.sampled_from(["a", " ", "\n", "<tool", "_call>", call("{}"), "<"]), max_size=8), st.data())
def test_what_is_sure_beside_calls_is_never_taken_back(pieces: list[str], data: st.DataObject) -> None:
    answer = "".join(pieces)
    begin = answer[: data.draw(st.integers(0, len(answer)))]
    watch = CallWatch()
    assert watch.cut(answer)[0].startswith(watch.sure(begin))


def test_functions_are_a_part_of_the_prompt() -> None:
    """One too long is refused before anyone renders it."""
    messages = (
        Message(Role.USER, "é"),
        Message(Role.MODEL, "12", calls=(FunctionCall("weather", '{"a":1}'),)),
        Message(Role.TOOL, "3", returns=(FunctionReturn("weather", '{"sun":1}'),)),
    )
    functions = Functions((WEATHER,))
    told = len("Tells it.") + len(WEATHER.parameters or "")
    assert prompt_bytes(Request(messages)) == 2 + 2 + 7 + 1 + 9
    assert prompt_bytes(Request(messages, functions=functions)) == 2 + 2 + 7 + 1 + 9 + told


def test_a_model_is_told_in_words_what_it_may_call() -> None:
    """With what was called before, and what came back."""
    messages = (
        Message(Role.SYSTEM, "Be kind."),
        Message(Role.USER, "Weather?"),
        Message(Role.MODEL, "I look.", calls=(FunctionCall("weather", '{"city":"Rome"}'),)),
        Message(Role.TOOL, "", returns=(FunctionReturn("weather", '{"sun":1}'), FunctionReturn("time", "9"))),
    )
    system, user, model, returned = calls.in_words(Request(messages, functions=Functions((WEATHER, TIME))))
    assert system.text.startswith("Be kind.\n\n# Functions")
    declared = system.text.split("<tools>\n")[1].split("\n</tools>")[0].split("\n")
    assert [json.loads(line)["function"]["name"] for line in declared] == ["weather", "time"]
    assert user == messages[1]
    assert model.text == "I look.\n" + call('{"city":"Rome"}')
    assert model.calls == returned.returns == ()
    assert returned.role is Role.USER
    assert returned.text == (
        '<tool_response>\n{"sun":1}\n</tool_response>\n<tool_response>\n9\n</tool_response>'
    )


@pytest.mark.parametrize(
    ("choice", "told", "says"),
    [
        (Choice.AUTO, "time", "may call"),
        (Choice.ANY, "time", "Call a function"),
        (Choice.NONE, "weather", "Do not"),
    ],
)
def test_a_model_is_told_of_what_it_may_call_and_whether_it_must(
    choice: Choice, told: str, says: str
) -> None:
    allowed = () if choice is Choice.NONE else ("time",)
    functions = Functions((WEATHER, TIME), choice, allowed)
    (system, _) = calls.in_words(Request((Message(Role.USER, "Hi."),), functions=functions))
    assert f'"{told}"' in system.text
    assert ('"weather"' in system.text) == (choice is Choice.NONE)
    assert says in system.text
