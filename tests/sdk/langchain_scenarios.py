"""What users do with LangChain's client for the Gemini API, done against a server of ours.

    python langchain_scenarios.py URL

Runs in an environment that has langchain-google-genai and nothing of ours. Exits with 1 if any fails.
"""

import asyncio
import sys
import traceback
from importlib.metadata import version

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_google_genai import ChatGoogleGenerativeAI
from pydantic import BaseModel

MODEL = "gemini-3.5-flash"


class Cheese(BaseModel):
    """A cheese."""

    name: str
    soft: bool


def a_prompt_is_answered(chat):
    answer = chat.invoke("Say hello.")
    assert isinstance(answer.content, str)
    usage = answer.usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert answer.response_metadata["finish_reason"] in {"STOP", "MAX_TOKENS"}


def a_conversation_is_answered(chat):
    turns = [
        SystemMessage("Be brief."),
        HumanMessage("My name is Ann."),
        AIMessage("Hello, Ann."),
        HumanMessage("What is my name?"),
    ]
    assert isinstance(chat.invoke(turns).content, str)


def many_prompts_are_answered_in_their_order(chat):
    prompts = [f"Say {number}." for number in range(8)]
    answers = [answer.content for answer in chat.batch(prompts)]
    assert answers == [chat.invoke(prompt).content for prompt in prompts]


def a_prompt_is_answered_asynchronously(chat):
    assert asyncio.run(chat.ainvoke("Say hello.")).content == chat.invoke("Say hello.").content


def an_answer_comes_in_pieces(chat):
    whole = chat.invoke("Say hello to everybody here.").content
    pieces = list(chat.stream("Say hello to everybody here."))
    assert "".join(piece.content for piece in pieces) == whole
    assert pieces[-1].usage_metadata or any(piece.usage_metadata for piece in pieces)


def a_chain_fills_its_template(chat):
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "Say {word}.")]) | chat
    assert isinstance(chain.invoke({"word": "hello"}).content, str)


def an_answer_follows_a_schema(chat):
    wide = chat.model_copy(update={"max_output_tokens": 200})
    told = wide.with_structured_output(Cheese, method="json_schema", include_raw=True).invoke(
        "Name a cheese."
    )
    if told["raw"].response_metadata["finish_reason"] == "STOP":
        assert isinstance(told["parsed"], Cheese), told


def tokens_are_counted(chat):
    assert chat.get_num_tokens("Say hello.") == chat.invoke("Say hello.").usage_metadata["input_tokens"]


def an_unknown_model_is_refused_by_name(chat):
    try:
        answer = chat.model_copy(update={"model": "no-such-model"}).invoke("Say hello.")
    except Exception as error:
        answer = str(error)
    assert "not found" in answer, answer


SCENARIOS = [
    a_prompt_is_answered,
    a_conversation_is_answered,
    many_prompts_are_answered_in_their_order,
    a_prompt_is_answered_asynchronously,
    an_answer_comes_in_pieces,
    a_chain_fills_its_template,
    an_answer_follows_a_schema,
    tokens_are_counted,
    an_unknown_model_is_refused_by_name,
]


def main(url):
    """Run every scenario and print how each went. Return how many failed."""
    chat = ChatGoogleGenerativeAI(
        model=MODEL,
        google_api_key="any",
        base_url=url,
        temperature=0,
        max_output_tokens=16,
        max_retries=1,
    )
    failed = 0
    for scenario in SCENARIOS:
        try:
            scenario(chat)
            print(f"ok     {scenario.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED {scenario.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"langchain-google-genai {version('langchain-google-genai')}: {failed} of {len(SCENARIOS)} failed")
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1]) else 0)
