"""Questions about a short document; the answer is a sentence that ends in the document's own words.

Three kinds of document: one subject and its facts, several subjects with the same facts, and who
did what where and when. The last asks about any verb and thing, so the model has to learn to look
things up instead of learning the facts' templates.
"""

from dataclasses import dataclass

from tools.pocket import words
from tools.pocket.draw import Draw, Example, Turn
from tools.pocket.facts import KINDS, Fact

NOT_STATED = "The document does not say."


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its answer, and the part of the document that the answer is about."""

    question: str
    answer: str
    span: str


# Past form and base form.
_VERBS = [
    pair.split(" ")
    for pair in words.listed("""
bought buy|sold sell|found find|repaired repair|painted paint|lost lose|borrowed borrow
cleaned clean|carried carry|designed design|opened open|ordered order|tested test|built build
planted plant|hid hide|drew draw|cooked cook|photographed photograph|delivered deliver
measured measure|wrapped wrap|stole steal|counted count|returned return|inspected inspect
drove drive|described describe|signed sign|collected collect|polished polish|dropped drop
watched watch|moved move|checked check|fixed fix|brought bring|baked bake|chose choose|tore tear
""")
]
_DEED_FORMS = (
    "{who} {verb} {what} {where} {when}.",
    "{who} {verb} {what} {where} {when}.",
    "{where} {who} {verb} {what} {when}.",
    "{what} was what {who} {verb} {where} {when}.",
    "{when} it was {who} who {verb} {what} {where}.",
    "{who} {verb} {what} {when} {where}.",
    "{when} {who} {verb} {what} {where}.",
    "It was {who} who {verb} {what} {where} {when}.",
)
_DEED_QUESTIONS = {
    "who": (
        "Who {verb} {what}?",
        "Who {verb} {what}?",
        "Who was it that {verb} {what}?",
    ),
    "what": ("What did {who} {base}?", "What was it that {who} {verb}?", "Which thing did {who} {base}?"),
    "where": ("Where did {who} {base} {what}?", "Where was it that {who} {verb} {what}?"),
    "when": ("When did {who} {base} {what}?", "When was it that {who} {verb} {what}?"),
}
_DEED_ANSWERS = {
    "who": "The one who {verb} {what} was {who}.",
    "what": "{who} {verb} {what}.",
    "where": "{who} {verb} {what} {where}.",
    "when": "{who} {verb} {what} {when}.",
}
_THINGS = words.listed("""
letter|bicycle|map|chair|boat|cake|clock|fence|garden|guitar|hammer|jacket|kettle|lamp|mirror
notebook|oven|piano|quilt|radio|sofa|table|umbrella|vase|wagon|box|bridge|camera|drum|engine|flag
gate|hat|book|key|ladder|medal|necklace|parcel|ring|statue|tent|violin|wall|window|basket|candle
door|bell|cabin|painting|package|report|ticket|tool|uniform|whistle|coin
""")
_PLACES = words.listed("""
in the kitchen|at the station|in the garden|near the river|at the market|in the cellar
behind the school|on the roof|at the harbour|in the library|by the lake|in the workshop
at the museum|under the bridge|in the attic|on the ferry|in the old barn|at the airport
next to the bakery|in the park
""")
_WHEN = words.listed("""
on Monday|on Tuesday|on Friday|in March|in June|in October|last week|at noon|at midnight|yesterday
in the morning|last summer|before lunch|after the storm|on Sunday|in winter|two days ago|in 1998
in 2011|last night
""")
_ADJECTIVES = words.listed("""
old|red|small|heavy|broken|green|silver|wooden|new|blue|large|golden|rusty|white|dusty|yellow
round|black
""")

_TRAITS = words.listed("""
capital|motto|main export|largest lake|password|code word|speed limit|budget|nickname|symbol
deadline|room number|mascot|currency|top speed|chief engineer|national dish|highest point
storage limit|response time|serial number|main ingredient|default port|version|maximum load
flag colour|language|sponsor|captain|coach|treasurer|address|postcode|batch size|file format
memory limit|best seller
""")

_TRAIT_VALUES = (
    words.person,
    words.code,
    words.count,
    words.town,
    words.price,
    words.colour,
    words.span,
    words.brand,
    words.product,
)
_TRAIT_FORMS = (
    "{s}'s {t} is {v}.",
    "For {s}, the {t} is {v}.",
    "{t}: {v}.",
    "{v} serves as the {t} of {s}.",
    "{s} uses {v} as {t}.",
    "It has {v} as {t}.",
    "{s} has a {t}: {v}.",
    "The {t} for {s} is {v}.",
    "The {t} of {s} is {v}.",
    "The {t} is {v}.",
    "{s} has {v} as its {t}.",
    "{v} is the {t} of {s}.",
    "As {t} {s} has {v}.",
    "{s}: the {t} is {v}.",
)
_TRAIT_QUESTIONS = (
    "What is {s}'s {t}?",
    "Name the {t} of {s}.",
    "What is its {t}?",
    "Do you know the {t} of {s}?",
    "For {s}, what is the {t}?",
    "What is the {t} for {s}?",
    "What is the {t} of {s}?",
    "What is the {t}?",
    "Tell me the {t} of {s}.",
    "Which {t} does {s} have?",
    "{t}?",
    "What {t} does {s} have?",
)
_NAMED_THINGS = words.listed("team|system|island|server|engine|kingdom|project|valley|printer|ship")

_LAYOUTS = (
    "{d} {q}",
    "{d}\n{q}",
    "Document: {d}\n\n{q}",
    "{d}\n\nQ: {q}",
    "Text: {d}\nQuestion: {q}\nAnswer:",
    "Using the document, answer: {q}\n\n{d}",
    "Passage: {d}\n\nQuestion: {q}",
    "{q} Answer from this text.\n\n{d}",
    "Given the text below, {q}\n\n{d}",
    "Read this.\n\n{d}\n\nQuestion: {q}",
    "Question: {q}\nDocument: {d}",
    "Please answer from the text.\n\nText:\n{d}\n\nQuestion:\n{q}",
    "Context:\n{d}\n\nQuestion: {q}\n\nAnswer:",
    "{d}\n\nQuestion: {q}",
    "Document:\n{d}\n\nQuestion: {q}",
    "Document: {d}\n\nQuestion: {q}\nAnswer:",
    "Read the document and answer the question.\n\n{d}\n\n{q}",
    "Answer the question using the text.\n\nText: {d}\n\nQuestion: {q}",
    "{d}\n\n{q}",
    "Question: {q}\n\nText: {d}",
    "Context: {d}\n\nQ: {q}\nA:",
    "Use only this text: {d}\n\n{q}",
    "{q}\n\n{d}",
    "Here is a document.\n\n{d}\n\nAccording to the document: {q}",
    "Answer from the document below.\n\n{d}\n\nQuestion: {q}",
    "Text:\n{d}\n\nAnswer with words from the text: {q}",
    "Document:\n{d}\n\nAnswer this question about the document: {q}",
    "Read this text: {d}\n\nNow answer: {q}",
)
_SYSTEM_INSTRUCTIONS = (
    "Answer questions about this document.\n\n{d}",
    "Use the following document to answer.\n\nDocument: {d}",
    "You answer questions from the text below.\n\n{d}",
    "Document:\n{d}",
    "Answer the user's questions with words from this document:\n{d}",
)


def document_example(draw: Draw) -> Example:
    """A document of one to eight sentences, and one question or two about it."""
    return _ask(draw, *_any_document(draw))


def long_document_example(draw: Draw) -> Example:
    """Several short documents in one, so that the answer may lie some hundred tokens back."""
    sentences: list[str] = []
    asked: list[Asked] = []
    for _ in range(draw.number(3, 8)):
        more_sentences, more_asked = draw.any_of((_several_subjects, _deeds, _traits, _named_subject))(draw)
        sentences += more_sentences
        asked += more_asked
    return _ask(draw, sentences, asked)


def shared_document(draw: Draw, *, questions_max: int) -> tuple[str, list[Asked]]:
    """One document and several questions about it: the case in which a batch shares a prefix."""
    sentences, asked = _any_document(draw)
    return " ".join(sentences), draw.shuffled(asked)[:questions_max]


def _any_document(draw: Draw) -> tuple[list[str], list[Asked]]:
    return draw.any_of((_one_subject, _one_subject, _several_subjects, _deeds, _deeds, _traits))(draw)


def _ask(draw: Draw, sentences: list[str], asked: list[Asked]) -> Example:
    document = draw.any_of((" ", " ", " ", "\n")).join(sentences)
    first, *others = draw.shuffled(asked)
    if draw.chance(0.08):
        system = Turn("system", draw.phrasing_of(_SYSTEM_INSTRUCTIONS).replace("{d}", document))
        opening: tuple[Turn, ...] = (system, Turn("user", first.question))
    else:
        layout = draw.phrasing_of(_LAYOUTS)
        opening = (Turn("user", layout.replace("{q}", first.question).replace("{d}", document)),)
    turns = (*opening, Turn("model", first.answer))
    if others and draw.chance(0.1):
        first = others[0]
        turns = (*turns, Turn("user", first.question), Turn("model", first.answer))
    return Example("document", turns, required=(first.span,))


def _ask_fact(question: str, fact: Fact, subject: str, value: str) -> Asked:
    return Asked(_sentence(question, s=subject), _sentence(fact.answer, s=subject, v=value), value)


def _one_subject(draw: Draw) -> tuple[list[str], list[Asked]]:
    make_subject, facts = draw.any_of(KINDS)
    subject = make_subject(draw)
    chosen = draw.shuffled(facts)[: draw.number(2, min(6, len(facts)))]
    stated, unstated = (chosen[:-1], chosen[-1]) if draw.chance(0.25) else (chosen, None)
    sentences, asked = [], []
    for index, fact in enumerate(stated):
        value = fact.make(draw)
        statement = draw.phrasing_of(fact.statements)
        if index == 0 and "{s}" not in statement:
            statement = f"This is about {{s}}. {statement}"
        # Later sentences may speak of "it": the reader has to know what it is.
        pronoun = "it" if index and make_subject is not words.person and draw.chance(0.3) else subject
        sentences.append(_sentence(statement, s=pronoun, v=value))
        asked.append(_ask_fact(draw.phrasing_of(fact.questions), fact, subject, value))
    if unstated:
        question = _sentence(draw.phrasing_of(unstated.questions), s=subject)
        asked = [Asked(question, NOT_STATED, NOT_STATED), *asked]
    return sentences, asked


def _named_subject(draw: Draw) -> tuple[list[str], list[Asked]]:
    """As `_one_subject`, with only the facts whose statement and question both name the subject."""
    sentences, asked = [], []
    make_subject, facts = draw.any_of(KINDS)
    subject = make_subject(draw)
    for fact in draw.shuffled(facts):
        statement, question = draw.phrasing_of(fact.statements), draw.phrasing_of(fact.questions)
        if "{s}" in statement and "{s}" in question:
            value = fact.make(draw)
            sentences.append(_sentence(statement, s=subject, v=value))
            asked.append(_ask_fact(question, fact, subject, value))
    if not asked:
        return _traits(draw)
    return sentences, asked


def _several_subjects(draw: Draw) -> tuple[list[str], list[Asked]]:
    """Two to four subjects of one kind with the same one or two facts each."""
    make_subject, facts = draw.any_of(KINDS)
    usable = [
        fact for fact in facts if "{s}" in draw.phrasing_of(fact.statements) or len(fact.statements) > 1
    ]
    chosen = draw.shuffled(usable)[: draw.number(1, 2)]
    subjects = list(dict.fromkeys(make_subject(draw) for _ in range(draw.number(2, 4))))
    sentences, asked = [], []
    for subject in subjects:
        for fact in chosen:
            statements = [s for s in (draw.phrasing_of(fact.statements) for _ in range(12)) if "{s}" in s]
            questions = [q for q in (draw.phrasing_of(fact.questions) for _ in range(12)) if "{s}" in q]
            if not statements or not questions:
                continue
            value = fact.make(draw)
            sentences.append(_sentence(statements[0], s=subject, v=value))
            asked.append(_ask_fact(questions[0], fact, subject, value))
    if not asked:
        return _traits(draw)
    return sentences, asked


def _deeds(draw: Draw) -> tuple[list[str], list[Asked]]:
    """Who did what, where and when; each deed has its own verb and thing."""
    number = draw.number(1, 4)
    verbs, things = draw.some_of(_VERBS, number), _different_things(draw, number)
    places, times = draw.some_of(_PLACES, number), draw.some_of(_WHEN, number)
    sentences, asked = [], []
    for (verb, base), thing, place, time in zip(verbs, things, places, times, strict=False):
        slots = {
            "who": words.person(draw) if draw.chance(0.5) else words.first_name(draw),
            "what": f"the {draw.one_of(_ADJECTIVES)} {thing}" if draw.chance(0.4) else f"the {thing}",
            "verb": verb,
            "base": base,
            "where": place if draw.chance(0.6) else "",
            "when": time if draw.chance(0.5) else "",
        }
        form = draw.any_of(_DEED_FORMS)
        sentences.append(_sentence(" ".join(_fill(form, **slots).split()).replace(" .", ".")))
        for part in ("who", "what", "where", "when"):
            # What begins a sentence has changed its first letter, and could not be copied.
            if slots[part] and slots[part] in sentences[-1]:
                question = _sentence(draw.any_of(_DEED_QUESTIONS[part]), **slots)
                asked.append(Asked(question, _sentence(_DEED_ANSWERS[part], **slots), slots[part]))
    return sentences, asked


def _different_things(draw: Draw, count: int) -> list[str]:
    return [
        draw.made_up(words.pseudo_word) if draw.chance(0.3) else thing
        for thing in draw.some_of(_THINGS, count)
    ]


def _traits(draw: Draw) -> tuple[list[str], list[Asked]]:
    """Arbitrary traits with arbitrary values, stated plainly or as labelled lines."""
    subject = draw.any_of((words.town, words.company, _named_thing))(draw)
    as_lines = draw.chance(0.25)
    sentences, asked = [], []
    for known_trait in draw.some_of(_TRAITS, draw.number(2, 6)):
        trait = draw.made_up(words.pseudo_word) if draw.chance(0.25) else known_trait
        value = draw.any_of(_TRAIT_VALUES)(draw)
        if as_lines:
            sentences.append(f"{trait.capitalize()}: {value}\n")
        else:
            sentence = _sentence(draw.phrasing_of(_TRAIT_FORMS), t=trait, s=subject, v=value)
            if value not in sentence:  # it begins the sentence, with a capital
                value = value[:1].upper() + value[1:]
            sentences.append(sentence)
        question = _sentence(draw.phrasing_of(_TRAIT_QUESTIONS), t=trait, s=subject)
        asked.append(Asked(question, _sentence("The {t} of {s} is {v}.", t=trait, s=subject, v=value), value))
    return sentences, asked


def _named_thing(draw: Draw) -> str:
    return f"the {draw.made_up(words.pseudo_name)} {draw.one_of(_NAMED_THINGS)}"


def _sentence(template: str, **slots: str) -> str:
    """Fill a template and begin it with a capital letter."""
    filled = _fill(template, **slots)
    return filled[:1].upper() + filled[1:]


def _fill(template: str, **slots: str) -> str:
    for slot, word in slots.items():
        template = template.replace("{" + slot + "}", word)
    return template
