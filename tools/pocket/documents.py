"""Questions about a short document; the answer is copied from it, word for word.

Three kinds of document: one subject and its facts, several subjects with the same facts, and who
did what where and when. The last asks about any verb and thing, so the model has to learn to look
things up instead of learning the facts' templates.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tools.pocket import words
from tools.pocket.draw import Draw, Example
from tools.pocket.tokenizer import Turn

NOT_STATED = "The document does not say."


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know: how to make it, how documents state it of {s}, how questions ask."""

    make: Callable[[Draw], str]
    statements: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the part of the document that answers it."""

    question: str
    answer: str


def _subject_maker(kinds: str) -> Callable[[Draw], str]:
    def make(draw: Draw) -> str:
        return f"{draw.made_up(words.pseudo_name)} {draw.one_of(words.listed(kinds))}"

    return make


def _listed(items: str) -> Callable[[Draw], str]:
    def make(draw: Draw) -> str:
        return draw.one_of(words.listed(items))

    return make


_FOUNDED = Fact(
    words.year,
    (
        "{s} was founded in {v}.",
        "Founded in {v}, {s} is well known in the region.",
        "{s} was established in {v}.",
        "The history of {s} began in {v}, when it was founded.",
        "It was in {v} that {s} was founded.",
    ),
    (
        "When was {s} founded?",
        "In which year was {s} founded?",
        "What year was {s} established?",
        "When did {s} start?",
        "In what year was {s} founded?",
    ),
)
_FOUNDER = Fact(
    words.person,
    (
        "{s} was started by {v}.",
        "Its founder is {v}.",
        "The founder of {s} was {v}.",
        "{v} founded {s}.",
        "{s} was founded by {v}.",
    ),
    (
        "Who founded {s}?",
        "Who is the founder of {s}?",
        "Who started {s}?",
        "By whom was {s} founded?",
        "Who was the founder of {s}?",
    ),
)
_PLACE = Fact(
    words.town,
    (
        "{s} is located in {v}.",
        "{s} is in {v}.",
        "You find {s} in {v}.",
        "{s} is based in {v}.",
        "The home of {s} is {v}.",
    ),
    (
        "Where is {s}?",
        "Where is {s} located?",
        "In which town is {s}?",
        "Which city is {s} based in?",
        "In which city is {s} located?",
    ),
)
_DIRECTOR = Fact(
    words.person,
    (
        "{s} is led by {v}.",
        "The director is {v}.",
        "{v} is the director of {s}.",
        "Today {v} runs {s}.",
        "The head of {s} is {v}.",
    ),
    (
        "Who leads {s}?",
        "Who is the director of {s}?",
        "Who runs {s}?",
        "What is the name of the director?",
        "Who is the head of {s}?",
    ),
)
_STAFF = Fact(
    words.count,
    (
        "{s} has {v} employees.",
        "About {v} people work at {s}.",
        "{s} employs {v} people.",
        "There are {v} employees at {s}.",
        "The staff of {s} numbers {v} people.",
    ),
    (
        "How many employees does {s} have?",
        "How many people work at {s}?",
        "How many people does {s} employ?",
        "How large is the staff of {s}?",
        "How many people are employed at {s}?",
    ),
)
_OPENING = Fact(
    lambda draw: f"{words.clock_time(draw)} to {words.clock_time(draw)}",
    (
        "{s} is open from {v}.",
        "Opening hours are {v}.",
        "The doors are open from {v}.",
        "Visitors can come from {v}.",
        "Opening times: {v}.",
    ),
    (
        "When is {s} open?",
        "What are the opening hours of {s}?",
        "What are the opening hours?",
        "At what times is {s} open?",
        "What are the opening times of {s}?",
    ),
)
_CLOSED = Fact(
    lambda draw: draw.any_of(words.WEEKDAYS),
    (
        "{s} is closed on {v}.",
        "On {v} it stays closed.",
        "It does not open on {v}.",
        "Closed on {v}.",
        "{s} closes every {v}.",
    ),
    (
        "On which day is {s} closed?",
        "When is {s} closed?",
        "Which day is it closed?",
        "What day is {s} closed?",
        "On what day does {s} close?",
    ),
)
_ENTRY = Fact(
    words.price,
    (
        "A ticket costs {v}.",
        "Entry is {v}.",
        "The entrance fee is {v}.",
        "Tickets for {s} cost {v}.",
        "The price of a ticket is {v}.",
    ),
    (
        "How much is a ticket?",
        "How much does a ticket cost?",
        "What is the entrance fee of {s}?",
        "How much does {s} cost?",
        "What is the price of a ticket?",
    ),
)
_PRICE = Fact(
    words.price,
    (
        "{s} costs {v}.",
        "The price of {s} is {v}.",
        "{s} is sold for {v}.",
        "It costs {v}.",
        "You can buy {s} for {v}.",
    ),
    (
        "How much does {s} cost?",
        "What is the price of {s}?",
        "What does {s} cost?",
        "How much is {s}?",
        "For how much can you buy {s}?",
    ),
)
_PHONE = Fact(
    words.phone,
    (
        "The phone number is {v}.",
        "Call {v} for information.",
        "You can call {s} at {v}.",
        "Phone: {v}.",
        "The phone number of {s} is {v}.",
    ),
    (
        "What is the phone number of {s}?",
        "What is the phone number?",
        "Which number can I call?",
        "How can I call {s}?",
        "What phone number does {s} have?",
    ),
)
_EMAIL = Fact(
    lambda draw: words.email(draw, words.person(draw)),
    (
        "Questions go to {v}.",
        "The email address is {v}.",
        "You can write to {v}.",
        "Email: {v}.",
        "The email address of {s} is {v}.",
    ),
    (
        "What is the email address of {s}?",
        "What is the email address?",
        "Where can I write to {s}?",
        "Which email address should I use?",
        "What is the email of {s}?",
    ),
)
_MATERIAL = Fact(
    words.material,
    (
        "{s} is made of {v}.",
        "The material is {v}.",
        "It is made from {v}.",
        "{s} consists of {v}.",
        "The material of {s} is {v}.",
    ),
    (
        "What is {s} made of?",
        "Which material is {s} made of?",
        "What is the material of {s}?",
        "What material is used for {s}?",
        "What is the material?",
    ),
)
_COLOUR = Fact(
    words.colour,
    (
        "{s} comes in {v}.",
        "Its colour is {v}.",
        "The colour of {s} is {v}.",
        "It is {v} in colour.",
        "The colour is {v}.",
    ),
    (
        "What colour is {s}?",
        "What is the colour of {s}?",
        "Which colour does {s} come in?",
        "What color is {s}?",
        "Which colour is {s}?",
    ),
)
_WEIGHT = Fact(
    words.weight,
    (
        "{s} weighs {v}.",
        "It weighs {v}.",
        "The weight is {v}.",
        "At {v}, it is light enough to carry.",
        "The weight of {s} is {v}.",
    ),
    (
        "How much does {s} weigh?",
        "What is the weight of {s}?",
        "How heavy is {s}?",
        "What does {s} weigh?",
        "What is its weight?",
    ),
)
_WARRANTY = Fact(
    words.span,
    (
        "The warranty lasts {v}.",
        "{s} has a warranty of {v}.",
        "It comes with a warranty of {v}.",
        "The warranty covers {v}.",
        "The warranty of {s} lasts {v}.",
    ),
    (
        "How long is the warranty?",
        "How long does the warranty last?",
        "What warranty does {s} have?",
        "How long is the warranty of {s}?",
        "What is the length of the warranty?",
    ),
)
_CHARGING = Fact(
    words.span,
    (
        "Charging takes {v}.",
        "A full charge takes {v}.",
        "It needs {v} to charge.",
        "The battery is full after {v}.",
        "{s} takes {v} to charge.",
    ),
    (
        "How long does charging take?",
        "How long does a full charge take?",
        "How long does {s} need to charge?",
        "How long does it take to charge {s}?",
        "How long does it take to charge?",
    ),
)
_RETURNS = Fact(
    words.span,
    (
        "You can return {s} within {v}.",
        "Returns are accepted within {v}.",
        "The return period is {v}.",
        "Customers may send it back within {v}.",
        "Returns are possible for {v}.",
    ),
    (
        "How long can I return {s}?",
        "What is the return period?",
        "Within what time are returns accepted?",
        "How long do customers have to return {s}?",
        "How long are returns possible?",
    ),
)
_JOB = Fact(
    _listed("""
nurse|teacher|baker|builder|painter|lawyer|farmer|doctor|pilot|librarian|gardener|carpenter
chemist|singer|writer|photographer|tailor|journalist|mechanic|butcher|translator|fisherman|plumber
dentist|historian
"""),
    (
        "{s} works as a {v}.",
        "{s} is a {v}.",
        "By profession {s} is a {v}.",
        "{s} trained as a {v}.",
        "{s} has worked as a {v} for years.",
    ),
    (
        "What is the job of {s}?",
        "What does {s} do for a living?",
        "What does {s} work as?",
        "What is the profession of {s}?",
        "What job does {s} have?",
    ),
)
_BORN_IN = Fact(
    words.town,
    (
        "{s} was born in {v}.",
        "{s} comes from {v}.",
        "The birthplace of {s} is {v}.",
        "Born in {v}, {s} had two sisters.",
        "{s} was born and raised in {v}.",
    ),
    (
        "Where was {s} born?",
        "Where does {s} come from?",
        "In which town was {s} born?",
        "What is the birthplace of {s}?",
        "In which city was {s} born?",
    ),
)
_LIVES_IN = Fact(
    words.town,
    (
        "{s} lives in {v}.",
        "Today {s} lives in {v}.",
        "{s} has moved to {v}.",
        "The home of {s} is in {v}.",
        "{s} now lives in {v}.",
    ),
    (
        "Where does {s} live?",
        "Where does {s} live now?",
        "In which town does {s} live?",
        "Which city does {s} live in?",
        "In which city does {s} live?",
    ),
)
_HOBBY = Fact(
    _listed("""
chess|sailing|cycling|climbing|painting|fishing|running|dancing|gardening|cooking|swimming
photography|reading|skiing|archery|knitting|birdwatching|surfing|rowing|pottery
"""),
    (
        "{s} enjoys {v}.",
        "In the free time {s} likes {v}.",
        "The favourite hobby of {s} is {v}.",
        "{s} spends weekends on {v}.",
        "{s} loves {v}.",
    ),
    (
        "What does {s} enjoy?",
        "What is the hobby of {s}?",
        "What does {s} like to do?",
        "What is the favourite hobby of {s}?",
        "What hobby does {s} have?",
    ),
)
_LENGTH = Fact(
    lambda draw: f"{draw.number(2, 900)} {draw.any_of(('metres', 'km', 'feet', 'miles'))}",
    (
        "{s} is {v} long.",
        "Its length is {v}.",
        "The length of {s} is {v}.",
        "It measures {v} in length.",
        "{s} has a length of {v}.",
    ),
    (
        "How long is {s}?",
        "What is the length of {s}?",
        "What is its length?",
        "What length does {s} have?",
        "How long is it?",
    ),
)
_OWNER = Fact(
    words.company,
    (
        "{s} belongs to {v}.",
        "The owner is {v}.",
        "{s} is owned by {v}.",
        "{v} owns {s}.",
        "The owner of {s} is {v}.",
    ),
    (
        "Who owns {s}?",
        "Who is the owner of {s}?",
        "To whom does {s} belong?",
        "Which company owns {s}?",
        "Who is the owner?",
    ),
)
_MAKES = Fact(
    lambda draw: words.product(draw) + "s",
    (
        "{s} makes {v}.",
        "{s} produces {v}.",
        "The company sells {v}.",
        "{s} is known for its {v}.",
        "The main product of {s} is {v}.",
    ),
    (
        "What does {s} make?",
        "What does {s} produce?",
        "What does the company sell?",
        "What is {s} known for?",
        "What is the main product of {s}?",
    ),
)
_KINDS: tuple[tuple[Callable[[Draw], str], tuple[Fact, ...]], ...] = (
    (
        _subject_maker("Museum|Gallery|Library|Zoo|Theatre|Aquarium|Castle|Garden|Planetarium|Archive"),
        (_FOUNDED, _PLACE, _DIRECTOR, _OPENING, _CLOSED, _ENTRY, _PHONE, _EMAIL, _STAFF),
    ),
    (words.company, (_FOUNDED, _FOUNDER, _PLACE, _DIRECTOR, _STAFF, _MAKES, _PHONE, _EMAIL, _OWNER)),
    (words.person, (_JOB, _BORN_IN, _LIVES_IN, _HOBBY, _EMAIL, _PHONE)),
    (
        lambda draw: f"the {words.brand(draw)} {words.product(draw)}",
        (_PRICE, _MATERIAL, _COLOUR, _WEIGHT, _WARRANTY, _CHARGING, _RETURNS),
    ),
    (
        lambda draw: (
            f"the {draw.made_up(words.pseudo_name)} {draw.one_of(words.listed('Bridge|Tower|Ferry|Canal|Tunnel|Harbour|Station'))}"
        ),
        (_LENGTH, _OWNER, _PLACE, _FOUNDED, _STAFF, _ENTRY),
    ),
    (
        _subject_maker("School|Hotel|Bakery|Restaurant|Clinic|Club|Farm|Brewery|Bookshop|Hostel|Gym"),
        (_FOUNDED, _FOUNDER, _PLACE, _OPENING, _CLOSED, _PHONE, _EMAIL, _OWNER, _STAFF),
    ),
)

_VERBS = words.listed("""
bought|sold|found|repaired|painted|lost|borrowed|cleaned|carried|designed|opened|ordered|tested
built|planted|hid|drew|cooked|photographed|delivered|measured|wrapped|stole|counted|returned
inspected|drove|described|signed|collected|polished|dropped|watched|moved|checked|fixed|brought
baked|chose|tore
""")
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

_LAYOUTS = (
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
        system = Turn("system", draw.one_of(_SYSTEM_INSTRUCTIONS).replace("{d}", document))
        opening: tuple[Turn, ...] = (system, Turn("user", first.question))
    else:
        layout = draw.one_of(_LAYOUTS)
        opening = (Turn("user", layout.replace("{q}", first.question).replace("{d}", document)),)
    turns = (*opening, Turn("model", first.answer))
    if others and draw.chance(0.1):
        turns = (*turns, Turn("user", others[0].question), Turn("model", others[0].answer))
    return Example("document", turns)


def _one_subject(draw: Draw) -> tuple[list[str], list[Asked]]:
    make_subject, facts = draw.any_of(_KINDS)
    subject = make_subject(draw)
    chosen = draw.shuffled(facts)[: draw.number(2, min(6, len(facts)))]
    stated, unstated = (chosen[:-1], chosen[-1]) if draw.chance(0.25) else (chosen, None)
    sentences, asked = [], []
    for index, fact in enumerate(stated):
        value = fact.make(draw)
        statement = draw.one_of(fact.statements)
        if index == 0 and "{s}" not in statement:
            statement = f"This is about {{s}}. {statement}"
        # Later sentences may speak of "it": the reader has to know what it is.
        pronoun = "it" if index and make_subject is not words.person and draw.chance(0.3) else subject
        sentences.append(_sentence(statement, s=pronoun, v=value))
        asked.append(Asked(_sentence(draw.one_of(fact.questions), s=subject), value))
    if unstated:
        asked = [Asked(_sentence(draw.one_of(unstated.questions), s=subject), NOT_STATED), *asked]
    return sentences, asked


def _named_subject(draw: Draw) -> tuple[list[str], list[Asked]]:
    """As `_one_subject`, with only the facts whose statement and question both name the subject."""
    sentences, asked = [], []
    make_subject, facts = draw.any_of(_KINDS)
    subject = make_subject(draw)
    for fact in draw.shuffled(facts):
        statement, question = draw.one_of(fact.statements), draw.one_of(fact.questions)
        if "{s}" in statement and "{s}" in question:
            value = fact.make(draw)
            sentences.append(_sentence(statement, s=subject, v=value))
            asked.append(Asked(_sentence(question, s=subject), value))
    if not asked:
        return _traits(draw)
    return sentences, asked


def _several_subjects(draw: Draw) -> tuple[list[str], list[Asked]]:
    """Two to four subjects of one kind with the same one or two facts each."""
    make_subject, facts = draw.any_of(_KINDS)
    usable = [fact for fact in facts if "{s}" in draw.one_of(fact.statements) or len(fact.statements) > 1]
    chosen = draw.shuffled(usable)[: draw.number(1, 2)]
    subjects = list(dict.fromkeys(make_subject(draw) for _ in range(draw.number(2, 4))))
    sentences, asked = [], []
    for subject in subjects:
        for fact in chosen:
            statements = [s for s in (draw.one_of(fact.statements) for _ in range(12)) if "{s}" in s]
            questions = [q for q in (draw.one_of(fact.questions) for _ in range(12)) if "{s}" in q]
            if not statements or not questions:
                continue
            value = fact.make(draw)
            sentences.append(_sentence(statements[0], s=subject, v=value))
            asked.append(Asked(_sentence(questions[0], s=subject), value))
    if not asked:
        return _traits(draw)
    return sentences, asked


def _deeds(draw: Draw) -> tuple[list[str], list[Asked]]:
    """Who did what, where and when; each deed has its own verb and thing."""
    number = draw.number(1, 4)
    verbs, things = draw.some_of(_VERBS, number), draw.some_of(_THINGS, number)
    places, times = draw.some_of(_PLACES, number), draw.some_of(_WHEN, number)
    sentences, asked = [], []
    for verb, thing, place, time in zip(verbs, things, places, times, strict=False):
        who = words.person(draw) if draw.chance(0.5) else words.first_name(draw)
        what = f"the {draw.one_of(_ADJECTIVES)} {thing}" if draw.chance(0.4) else f"the {thing}"
        where = f" {place}" if draw.chance(0.6) else ""
        when = f" {time}" if draw.chance(0.5) else ""
        sentence = f"{who} {verb} {what}{where}{when}."
        if when and draw.chance(0.3):
            sentence = f"{when.strip().capitalize()}, {who} {verb} {what}{where}."
            when = ""
        sentences.append(sentence)
        asked.append(Asked(f"Who {verb} {what}?", who))
        asked.append(
            Asked(
                draw.any_of(
                    (f"What did {who} {_base(verb)}?", f"Which thing was {verb} by {who}?")
                    if _base(verb)
                    else (f"What was it that {who} {verb}?",)
                ),
                what,
            )
        )
        if where:
            asked.append(
                Asked(
                    f"Where was {what}?" if draw.chance(0.3) else f"Where was it that {who} {verb} {what}?",
                    place,
                )
            )
        if when:
            asked.append(Asked(f"When was it that {who} {verb} {what}?", time))
    return sentences, asked


_BASE_FORMS = {
    "bought": "buy", "sold": "sell", "found": "find", "repaired": "repair", "painted": "paint", "lost": "lose",
    "built": "build", "drew": "draw", "stole": "steal", "drove": "drive", "hid": "hide", "opened": "open",
    "ordered": "order", "cleaned": "clean", "designed": "design", "planted": "plant", "cooked": "cook", "tested": "test",
    "watched": "watch", "moved": "move", "checked": "check", "fixed": "fix", "brought": "bring", "baked": "bake",
    "chose": "choose", "tore": "tear",
}  # fmt: skip


def _base(verb: str) -> str:
    return _BASE_FORMS.get(verb, "")


def _traits(draw: Draw) -> tuple[list[str], list[Asked]]:
    """Arbitrary traits with arbitrary values, stated plainly or as labelled lines."""
    subject = draw.any_of(
        (
            words.town,
            words.company,
            lambda d: (
                f"the {d.made_up(words.pseudo_name)} {d.one_of(words.listed('team|system|island|server|engine|kingdom|project|valley|printer|ship'))}"
            ),
        )
    )(draw)
    sentences, asked = [], []
    lines = draw.chance(0.25)
    for trait in draw.some_of(_TRAITS, draw.number(2, 6)):
        value = draw.any_of(
            (
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
        )(draw)
        if lines:
            sentences.append(f"{trait.capitalize()}: {value}\n")
        else:
            form = draw.one_of(
                (
                    "The {t} of {s} is {v}.",
                    "The {t} is {v}.",
                    "{s} has {v} as its {t}.",
                    "{v} is the {t} of {s}.",
                    "As {t} {s} has {v}.",
                    "{s}: the {t} is {v}.",
                )
            )
            sentence = _sentence(form, t=trait, s=subject, v=value)
            if value not in sentence:  # it begins the sentence, with a capital
                value = value[:1].upper() + value[1:]
            sentences.append(sentence)
        asked.append(
            Asked(
                _sentence(
                    draw.one_of(
                        (
                            "What is the {t} of {s}?",
                            "What is the {t}?",
                            "Tell me the {t} of {s}.",
                            "Which {t} does {s} have?",
                            "{t}?",
                            "What {t} does {s} have?",
                        )
                    ),
                    t=trait,
                    s=subject,
                ),
                value,
            )
        )
    return sentences, asked


def _sentence(template: str, **slots: str) -> str:
    """Fill a template and begin it with a capital letter."""
    for slot, word in slots.items():
        template = template.replace("{" + slot + "}", word)
    return template[:1].upper() + template[1:]
