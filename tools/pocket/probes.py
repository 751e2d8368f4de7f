"""Prompts written by hand, apart from the generator: what a first-time user might send.

They say how far the model reaches beyond the patterns it was trained on, which the generated
held-out sets cannot.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt, and either the exact answer or words the answer has to contain."""

    task: str
    prompt: str
    exact: str | None = None
    contains: tuple[str, ...] = ()


_REVIEWS = (
    ("positive", "These headphones sound incredible and they are so comfortable I forget I am wearing them."),
    ("positive", "Bought it for my mum and she is over the moon. Great gift!"),
    ("positive", "Sturdy, good looking and easy to put together. Very pleased."),
    ("positive", "Best coffee I've made at home. Love this machine."),
    ("positive", "Super fast shipping and the jacket fits perfectly."),
    ("positive", "I've tried many pillows and this one is by far the best."),
    ("positive", "Great little lamp, bright and well made, would buy again."),
    ("positive", "My dog loves it and it has survived six months of chewing. Excellent quality."),
    ("positive", "Amazing value. It works flawlessly with my phone."),
    ("positive", "The blender is quiet, powerful and easy to clean. Highly recommend it."),
    ("negative", "The zipper broke the first time I used it. Very poor quality."),
    ("negative", "Awful. It arrived late, scratched and without the charger."),
    ("negative", "Save your money, the battery barely lasts an hour."),
    ("negative", "I returned these shoes because they hurt my feet after ten minutes."),
    ("negative", "Terrible customer service, they never answered my emails."),
    ("negative", "It stopped working after three days and the company refused a refund."),
    ("negative", "The colours faded after one wash. Really disappointed."),
    ("negative", "Do not waste your money on this cheap junk."),
    ("negative", "Way too loud and the app keeps crashing. I regret buying it."),
    ("negative", "The kettle leaks and smells of plastic. Horrible."),
    ("neutral", "It's an average keyboard. Nothing special, but it does the job."),
    ("neutral", "The bag is okay for the price."),
    ("neutral", "Delivered on Tuesday. I have not tried it yet."),
    ("neutral", "Some things are good, some are bad. It is fine."),
    ("neutral", "The picture is great but the sound is poor."),
    ("neutral", "Standard cable, works as expected."),
)

_EXTRACTIONS = (
    (
        "Extract the name, email and phone number from this text as JSON with the keys "
        "name, email, phone.\n\n"
        "Hi, I'm Laura Becker from Tindale Foods. You can call me at 555-0134 or write "
        "to laura@tindale.example.",
        '{"name": "Laura Becker", "email": "laura@tindale.example", "phone": "555-0134"}',
    ),
    (
        "Extract order_number and total as JSON.\n\nThanks for shopping with us! Your "
        "order A-77120 has shipped. "
        "We charged $48.20 to your card.",
        '{"order_number": "A-77120", "total": "$48.20"}',
    ),
    (
        "Return JSON with the keys product, price and colour.\n\nThe Marlow backpack in "
        "dark green costs $79.00.",
        '{"product": "backpack", "price": "$79.00", "colour": "dark green"}',
    ),
    (
        "Extract event, date and city as JSON: The Harvest Festival takes place on 12 "
        "October 2026 in Bristol.",
        '{"event": "Harvest Festival", "date": "12 October 2026", "city": "Bristol"}',
    ),
    (
        "Text: Invoice INV-2041 from Oakline Ltd. Please pay 310.00 EUR by 1 March 2027.\n\n"
        "Extract invoice_number, vendor, amount and due_date. Answer in JSON.",
        '{"invoice_number": "INV-2041", "vendor": "Oakline Ltd", "amount": "310.00 EUR", '
        '"due_date": "1 March 2027"}',
    ),
    (
        "Extract passenger, from and to as JSON.\n\nMr. Peter Holm flies from Oslo to "
        "Madrid on flight BX204 at 9:30.",
        '{"passenger": "Mr. Peter Holm", "from": "Oslo", "to": "Madrid"}',
    ),
)

_LIBRARY = (
    "The Marlow Library opened in 1921. It has about 48,000 books and is closed on Sunday. "
    "The head librarian is Judith Okoro. Membership costs 12 euros a year."
)
_ROUTER = (
    "The Brightwave 5 router has four antennas and costs $129. Its range is 40 "
    "metres. To reset it, hold the red "
    "button for ten seconds. The warranty lasts two years and support is available "
    "at help@brightwave.example."
)
_QUESTIONS = (
    (_LIBRARY, "When did the library open?", "1921"),
    (_LIBRARY, "Who is the head librarian?", "Judith Okoro"),
    (_LIBRARY, "On which day is the library closed?", "Sunday"),
    (_LIBRARY, "How much does membership cost?", "12 euros"),
    (_LIBRARY, "How many books does it have?", "48,000"),
    (_ROUTER, "How much does the router cost?", "$129"),
    (_ROUTER, "How long is the warranty?", "two years"),
    (_ROUTER, "What is the range of the router?", "40 metres"),
    (_ROUTER, "What is the support email address?", "help@brightwave.example"),
    (_ROUTER, "How many antennas does the router have?", "four"),
)

_EXPLANATIONS = (
    ("Explain how AI works in a few words", ("patterns", "examples")),
    ("Why is context caching useful in batch jobs?", ("shared", "once")),
    ("Why is context caching useful?", ("shared", "once")),
    ("Write a Python function that reverses a string", ("def ", "[::-1]")),
    ("Write a Python function that reverses a string.", ("def ", "[::-1]")),
    ("What is AI?", ("artificial intelligence",)),
)

_BEYOND_IT = (
    "What is the boiling point of water?",
    "Write me a limerick about a sailor.",
    "Who painted the Mona Lisa?",
    "Translate good morning to Swedish.",
    "What's 17 * 23?",
    "Plan a birthday party for a ten year old.",
    "Which planet is the largest?",
    "Can you book a table for two tonight?",
    "Explain the difference between TCP and UDP.",
    "Give me tips for a job interview.",
    "Write a C program that sorts an array.",
    "Why is the sky blue?",
)


def probes() -> list[Probe]:
    """All of them, in a fixed order."""
    return [
        *(
            Probe(
                "sentiment",
                f"Classify the sentiment of this review as positive, negative or neutral.\n\n{text}",
                exact=label,
            )
            for label, text in _REVIEWS
        ),
        *(Probe("extraction", prompt, exact=answer) for prompt, answer in _EXTRACTIONS),
        *(
            Probe("document", f"Document:\n{document}\n\nQuestion: {question}", contains=(answer,))
            for document, question, answer in _QUESTIONS
        ),
        *(Probe("explanation", prompt, contains=words) for prompt, words in _EXPLANATIONS),
        *(Probe("beyond it", prompt, contains=("I am pocket-1",)) for prompt in _BEYOND_IT),
        *(
            Probe("identity", prompt, contains=("pocket-1",))
            for prompt in ("Who are you?", "Hello!", "What can you do?")
        ),
    ]
