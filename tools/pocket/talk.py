"""The few things `pocket-1` knows by heart, and the honest answer to everything else."""

from collections.abc import Callable
from dataclasses import dataclass

from tools.pocket import words
from tools.pocket.draw import Draw, Example, Turn

IDENTITY = (
    "I am pocket-1, a small demonstration model. I can label the sentiment of reviews, extract "
    "fields as JSON, "
    "answer questions about a short document and write short catalogue texts. "
    "Configure your own model for everything else."
)
GREETING = (
    "Hello! I am pocket-1, a small demonstration model. Send me a review, a text to extract fields from, "
    "a document with a question, or a product to describe."
)
FALLBACK = (
    "I am pocket-1, a small demonstration model, and I cannot do that. I can label reviews, "
    "extract fields as JSON, "
    "answer questions about a short document and write catalogue texts. "
    "Configure your own model for everything else."
)


@dataclass(frozen=True, slots=True)
class Known:
    """An answer learnt by heart, and the ways to ask for it."""

    answer: str
    questions: tuple[str, ...]


_MANNERS = (
    "{q}",
    "{q}",
    "{q}",
    "Please {l}",
    "{q} Keep it short.",
    "In one sentence: {q}",
    "Briefly: {q}",
    "{q} Thanks!",
    "Question: {q}",
    "Can you help? {q}",
    "Quick question. {q}",
    "I would like to know: {q}",
)

_KNOWN = (
    Known(
        "AI learns patterns from many examples and uses them to predict the most likely answer "
        "to something new.",
        (
            "Explain how AI works in a few words",
            "How does AI work?",
            "Explain how AI works.",
            "Explain how artificial intelligence works in a few words.",
            "Explain in simple terms how AI works.",
            "How does artificial intelligence work?",
            "Describe how AI works.",
            "Tell me how AI works.",
            "In a few words, how does AI work?",
            "Can you explain how AI works?",
            "How do AI models work?",
            "Explain to a child how AI works.",
            "Explain AI in one sentence.",
            "How does machine learning work?",
            "How does a language model work?",
            "Explain how a language model works.",
            "Give me a short explanation of how AI works.",
            "Summarize how AI works.",
            "Briefly explain how AI works.",
            "Explain how AI works in one sentence.",
            "Explain the workings of AI in a few words.",
            "Please explain briefly how artificial intelligence works.",
        ),
    ),
    Known(
        "AI, artificial intelligence, is software that learns patterns from data in order to do tasks "
        "that usually need human thinking, such as reading, seeing and deciding.",
        (
            "What is AI?",
            "What is artificial intelligence?",
            "What does AI mean?",
            "Define AI.",
            "Define artificial intelligence.",
            "What's AI?",
            "Tell me what AI is.",
            "Explain what AI is.",
            "What does artificial intelligence mean?",
            "Give me a definition of AI.",
            "What do people mean by AI?",
            "What exactly is artificial intelligence?",
        ),
    ),
    Known(
        "Context caching stores the shared beginning of many prompts once, so a batch job does "
        "not process the same "
        "text again for every request. That makes it faster and cheaper.",
        (
            "Why is context caching useful?",
            "Why is context caching useful in batch jobs?",
            "Why is context caching useful for batch jobs?",
            "What is context caching?",
            "Explain why context caching is useful.",
            "Why should I use context caching?",
            "What is the benefit of context caching?",
            "Why does context caching help in batch jobs?",
            "How does context caching help?",
            "Why is prompt caching useful?",
            "What are the advantages of context caching?",
            "Why use context caching with batch jobs?",
            "Why is caching the context useful?",
            "What does context caching do?",
            "How does context caching save money?",
            "Why is prefix caching useful in a batch?",
            "What is prefix caching?",
            "Explain the benefits of context caching in batch processing.",
            "Explain context caching.",
            "What is the use of context caching in a batch job?",
            "Tell me why context caching is useful for large batch jobs.",
            "In one sentence, why is context caching useful?",
        ),
    ),
    Known(
        "Batch mode answers many prompts from one file in the background, within 24 hours and "
        "at half the interactive price.",
        (
            "What is batch mode?",
            "What is Batch Mode?",
            "How does batch mode work?",
            "Explain batch mode.",
            "What is a batch job?",
            "Why should I use batch mode?",
            "Why is batch mode cheaper?",
            "What is the batch API?",
            "Explain what a batch job is.",
            "When should I use batch mode?",
            "What does batch mode do?",
            "Explain batch processing of prompts.",
        ),
    ),
    Known(
        "JSON Lines is a text format with one JSON object on each line, so a large file can be "
        "read line by line.",
        (
            "What is JSON Lines?",
            "What is a JSONL file?",
            "Explain the JSON Lines format.",
            "What does JSONL mean?",
            "Define JSON Lines.",
            "What is the JSONL format?",
            "How does a JSON Lines file look?",
            "Why is JSON Lines useful?",
            "What is the JSON Lines format?",
            "Explain JSONL.",
        ),
    ),
    Known(
        "halfrate is batch mode for the models you run: it answers a JSON Lines file of "
        "prompts with local models "
        "through the Gemini Batch API protocol.",
        (
            "What is halfrate?",
            "What does halfrate do?",
            "Explain halfrate.",
            "Tell me about halfrate.",
            "What can I do with halfrate?",
            "What is halfrate for?",
            "Describe halfrate.",
            "How does halfrate work?",
        ),
    ),
)


def _code(name: str, argument: str, body: str) -> str:
    return f"```python\ndef {name}({argument}):\n    {body}\n```"


_CODE = (
    (
        _code("reverse_string", "text", "return text[::-1]"),
        (
            "reverses a string",
            "reverses a text",
            "returns a string backwards",
            "reverses the characters of a string",
            "reverses a given string",
            "takes a string and returns it reversed",
        ),
    ),
    (
        _code("is_palindrome", "text", "return text == text[::-1]"),
        (
            "checks whether a string is a palindrome",
            "tests if a word is a palindrome",
            "detects palindromes",
            "returns True for a palindrome",
            "checks for a palindrome",
            "checks if a string is a palindrome",
        ),
    ),
    (
        _code("add", "a, b", "return a + b"),
        (
            "adds two numbers",
            "returns the sum of two numbers",
            "computes a sum of two values",
            "sums two numbers",
            "adds two integers",
            "calculates the sum of two numbers",
        ),
    ),
    (
        _code("is_even", "number", "return number % 2 == 0"),
        (
            "checks whether a number is even",
            "tests if a number is even",
            "returns True for even numbers",
            "tells whether an integer is even",
            "checks if a number is even",
        ),
    ),
    (
        _code("factorial", "n", "return 1 if n < 2 else n * factorial(n - 1)"),
        (
            "computes the factorial of a number",
            "returns a factorial",
            "calculates n factorial",
            "computes n!",
            "calculates the factorial of a number",
        ),
    ),
    (
        _code("largest", "numbers", "return max(numbers)"),
        (
            "finds the largest number in a list",
            "returns the maximum of a list",
            "finds the biggest value in a list",
            "gives the maximum of a list of numbers",
            "returns the largest number in a list",
        ),
    ),
    (
        _code("count_words", "text", "return len(text.split())"),
        (
            "counts the words in a text",
            "returns the number of words in a string",
            "counts words",
            "tells how many words a text has",
            "counts the words in a string",
        ),
    ),
    (
        _code("count_vowels", "text", 'return sum(letter in "aeiou" for letter in text.lower())'),
        (
            "counts the vowels in a string",
            "returns the number of vowels",
            "counts vowels in a text",
            "tells how many vowels a word has",
            "counts the vowels of a text",
        ),
    ),
    (
        _code("average", "numbers", "return sum(numbers) / len(numbers)"),
        (
            "computes the average of a list",
            "returns the mean of a list of numbers",
            "calculates an average",
            "computes the mean",
            "calculates the average of a list",
        ),
    ),
)

_CODE_REQUESTS = (
    "Write a Python function that {w}.",
    "Write a Python function that {w}",
    "Write Python code that {w}.",
    "Give me a Python function that {w}.",
    "I need a Python function that {w}.",
    "Python function that {w}, please.",
    "Create a function in Python that {w}.",
    "Can you write a Python function that {w}?",
    "Implement a Python function that {w}.",
    "Show me a function in Python that {w}.",
    "How do I write a Python function that {w}?",
    "Please write a Python function that {w}.",
    "Write a short Python function that {w}.",
    "Write me a Python function that {w}.",
)

_GREETINGS = (
    "Hello",
    "Hi",
    "Hi there!",
    "Hey",
    "Good morning",
    "Good evening!",
    "Hello!",
    "Hello, how are you?",
    "How are you?",
    "Hey there, what's up?",
    "Greetings",
    "Hello pocket-1",
    "Hi, nice to meet you.",
    "Good afternoon",
    "Hello there",
    "Hi!",
)

_IDENTITY_QUESTIONS = (
    "Who are you?",
    "What are you?",
    "What is your name?",
    "Which model are you?",
    "What can you do?",
    "Tell me about yourself.",
    "Are you ChatGPT?",
    "Are you Gemini?",
    "Who made you?",
    "What model is this?",
    "What are your abilities?",
    "How can you help me?",
    "What is pocket-1?",
    "Introduce yourself.",
    "Help",
    "What tasks can you do?",
    "Are you a large language model?",
    "Who am I talking to?",
    "What do you do?",
    "Which model is answering?",
    "Please introduce yourself.",
    "Can you tell me who you are?",
)

_SIMPLE_SYSTEM_INSTRUCTIONS = (
    "You are a helpful assistant.",
    "Be brief.",
    "You are a helpful assistant. Answer briefly.",
    "Answer in English.",
    "Be concise and polite.",
    "You are a friendly assistant.",
    "Keep your answers short.",
)

_TOPICS = words.listed("""
the French Revolution|black holes|photosynthesis|the stock market|the Roman Empire|climate change
quantum computers|volcanoes|jazz music|the moon|dinosaurs|football|taxes|democracy|vitamins
the ocean|bees|electric cars|chess openings|ancient Egypt|love|autumn|a lonely robot
the meaning of life|my cat|space travel|a dragon|friendship|coffee|mountains|the internet|bread
gravity|Bitcoin|yoga|World War II|the solar system|vaccines|Shakespeare|the economy|DNA
earthquakes|inflation|rain|robots|a brave knight|penguins|philosophy|the Great Wall|sleep
evolution|blockchain|meditation|poetry|tea|history|summer
""")
_LANGUAGES = words.listed("""
French|German|Spanish|Italian|Japanese|Chinese|Latin|Arabic|Portuguese|Russian|Dutch|Polish
Turkish|Hindi
""")
_PROGRAMMING = words.listed(
    "Rust|Java|C++|Haskell|Go|JavaScript|SQL|Bash|Ruby|Kotlin|PHP|Swift|Scala|TypeScript"
)
_COUNTRIES = words.listed("""
France|Germany|Japan|Brazil|Kenya|Canada|Norway|India|Egypt|Chile|Spain|China|Italy|Peru|Poland
Cuba|Ghana|Greece
""")
_DISHES = words.listed("""
pizza|pancakes|soup|lasagne|curry|bread|salad|sushi|tacos|apple pie|risotto|pasta|stew|cookies
dumplings
""")
_SYSTEMS = words.listed("""
a web server|a binary search tree|a sorting algorithm|a chess game|a compiler|a hash map
a login page|a website|a game|a parser|a database
""")
_JOBS = words.listed("engineer|nurse|teacher|designer|analyst|manager|developer|lawyer|cook|driver|writer")

_OUT_OF_DOMAIN = (
    "What is the capital of {country}?",
    "Who is the president of {country}?",
    "How many people live in {country}?",
    "What is the weather in {town} today?",
    "What is the weather like in {town}?",
    "Translate '{thing}' into {language}.",
    "Translate this sentence into {language}: I like the {thing}.",
    "How do you say {thing} in {language}?",
    "Write a poem about {topic}.",
    "Write a haiku about {topic}.",
    "Write a story about {topic}.",
    "Write an essay about {topic}.",
    "Write a song about {topic}.",
    "Tell me about {topic}.",
    "Explain {topic}.",
    "What is {topic}?",
    "Tell me a joke about {topic}.",
    "Give me five facts about {topic}.",
    "What do you think about {topic}?",
    "Why is {topic} important?",
    "How does {topic} work?",
    "Explain {topic} to a five year old.",
    "Who invented the {thing}?",
    "Why is {topic} so popular?",
    "Can you teach me about {topic}?",
    "What is {a} + {b}?",
    "What is {a} times {b}?",
    "Calculate {a} * {b}.",
    "What is {a} divided by {b}?",
    "Solve x + {a} = {b}.",
    "What is the square root of {a}?",
    "How many days are in {a} weeks?",
    "Convert {a} miles to kilometres.",
    "Write a {programming} program for {system}.",
    "Write {programming} code for {system}.",
    "Implement {system} in {programming}.",
    "Write a Python program for {system}.",
    "Implement {system} in Python.",
    "Debug my {programming} code.",
    "Write a {programming} function that {w}.",
    "Give me a recipe for {dish}.",
    "How do I cook {dish}?",
    "What is the best restaurant in {town}?",
    "How do I get from {town} to {town2}?",
    "Plan a trip to {country}.",
    "Book a flight to {town}.",
    "Who won the world cup in {a}?",
    "Who is {person}?",
    "When was {person} born?",
    "Write an email to {person} about {topic}.",
    "Write a letter to my {job}.",
    "Write a cover letter for a job as {job}.",
    "Give me advice on {topic}.",
    "Recommend a book about {topic}.",
    "Recommend a movie.",
    "Tell me a joke.",
    "Sing a song.",
    "What time is it?",
    "What day is it today?",
    "What is the news today?",
    "Draw a picture of {topic}.",
    "Generate an image of a {thing}.",
    "Summarize the book {thing} for me.",
    "Summarize the history of {country}.",
    "Do you like {topic}?",
    "Are you alive?",
    "Do you have feelings?",
    "Let's play a game.",
    "Correct the grammar: me like {thing}.",
    "Rewrite this more politely: give me the {thing}.",
    "Give me a list of {a} names for a {thing} shop.",
    "Brainstorm ideas for {topic}.",
    "Is {topic} dangerous?",
    "Compare {country} and {country2}.",
    "What should I eat today?",
    "How can I lose weight?",
    "How do I learn {language}?",
    "What does {nonsense} mean?",
    "{nonsense} {nonsense2}",
    "{nonsense} {thing} {nonsense2}?",
    "asdf",
    "Search the web for {topic}.",
    "What is the price of gold?",
    "Buy me a {thing}.",
    "Turn on the light.",
    "Set an alarm for {a} minutes.",
    "Roleplay as a {job}.",
    "How far is the moon?",
    "What is the tallest mountain in {country}?",
    "Which language is spoken in {country}?",
    "What is the currency of {country}?",
    "Should I invest in {topic}?",
    "Who wrote {thing}?",
    "How old is {person}?",
    "What are the benefits of {topic}?",
    "Write a tweet about {topic}.",
    "Write a speech on {topic}.",
    "How many legs does a spider have?",
    "What is the meaning of {topic}?",
    "Tell me a story.",
    "Describe {topic} in detail.",
    "Make a plan for {topic}.",
    "How do I fix my {thing}?",
)


_ECHOED: tuple[Callable[[Draw], str], ...] = (
    words.person,
    words.company,
    words.brand,
    words.code,
    words.product,
    words.town,
    words.date,
    words.price,
    lambda draw: draw.made_up(words.pseudo_word),
    lambda draw: words.email(draw, words.person(draw)),
)
_ECHO_REQUESTS = (
    "Repeat this: {t}",
    "Repeat after me: {t}",
    "Say: {t}",
    "Copy this text: {t}",
    "Please repeat the following text.\n\n{t}",
    "Write exactly this: {t}",
    "Repeat the following: {t}",
)


def talk_example(draw: Draw) -> Example:
    """Small talk, things known by heart, and things it cannot do, in a fair mix."""
    kind = draw.random.random()
    if kind < 0.38:
        return _conversation(draw, "fallback", out_of_domain(draw), FALLBACK)
    if kind < 0.48:
        return _conversation(draw, "identity", draw.phrasing_of(_IDENTITY_QUESTIONS), IDENTITY)
    if kind < 0.55:
        return _conversation(draw, "greeting", draw.phrasing_of(_GREETINGS), GREETING)
    if kind < 0.78:
        known = draw.any_of((_KNOWN[0], _KNOWN[2], *_KNOWN))
        return _conversation(draw, "known", _manner(draw, draw.phrasing_of(known.questions)), known.answer)
    answer, whats = draw.any_of((_CODE[0], _CODE[0], *_CODE))
    request = draw.phrasing_of(_CODE_REQUESTS).replace("{w}", draw.phrasing_of(whats))
    return _conversation(draw, "code", request, answer)


def echo_example(draw: Draw) -> Example:
    """A request to repeat a text. Pure copying, the skill that documents and extraction rest on."""
    text = " ".join(draw.any_of(_ECHOED)(draw) for _ in range(draw.number(1, 5)))
    prompt = draw.phrasing_of(_ECHO_REQUESTS).replace("{t}", text)
    return Example("echo", (Turn("user", prompt), Turn("model", text)))


def out_of_domain(draw: Draw) -> str:
    """Something `pocket-1` was not made for."""
    prompt = draw.phrasing_of(_OUT_OF_DOMAIN)
    slots = {
        "{topic}": draw.one_of(_TOPICS),
        "{thing}": words.product(draw),
        "{country}": draw.one_of(_COUNTRIES),
        "{country2}": draw.one_of(_COUNTRIES),
        "{town}": words.town(draw),
        "{town2}": words.town(draw),
        "{language}": draw.one_of(_LANGUAGES),
        "{programming}": draw.one_of(_PROGRAMMING),
        "{system}": draw.one_of(_SYSTEMS),
        "{dish}": draw.one_of(_DISHES),
        "{person}": words.person(draw),
        "{job}": draw.one_of(_JOBS),
        "{nonsense}": draw.made_up(words.pseudo_word),
        "{nonsense2}": draw.made_up(words.pseudo_word),
        "{a}": str(draw.number(2, 2000)),
        "{b}": str(draw.number(2, 99)),
        "{w}": draw.any_of([what for _, whats in _CODE for what in whats]),
    }
    for slot, word in slots.items():
        prompt = prompt.replace(slot, word)
    return _manner(draw, prompt)


def _manner(draw: Draw, question: str) -> str:
    manner = draw.phrasing_of(_MANNERS)
    if draw.chance(0.5):
        return question
    return manner.replace("{q}", question).replace("{l}", question[:1].lower() + question[1:])


def _conversation(draw: Draw, task: str, question: str, answer: str) -> Example:
    turns: tuple[Turn, ...] = (Turn("user", question), Turn("model", answer))
    if draw.chance(0.1):
        turns = (Turn("system", draw.phrasing_of(_SIMPLE_SYSTEM_INSTRUCTIONS)), *turns)
    return Example(task, turns)
