"""Product reviews and their sentiment: positive, negative or neutral.

The words that carry sentiment are shared by both splits, since nobody can guess the polarity of a
word never met. What is held out: products, the instruction's phrasing, and the sentence patterns.
"""

from tools.pocket import words
from tools.pocket.draw import Draw, Example, Turn

LABELS = ("positive", "negative", "neutral")

_INSTRUCTIONS = (
    "Classify the sentiment of this review as positive, negative or neutral.\n\n{r}",
    "Is this review positive, negative or neutral? Answer with one word.\n\nReview: {r}",
    "What is the sentiment of the following product review? Answer positive, negative or neutral.\n{r}",
    "Review: {r}\n\nSentiment (positive, negative or neutral):",
    "{r}\n\nIs the review above positive, negative or neutral?",
    'Label the review with exactly one of: positive, negative, neutral.\n\n"{r}"',
    "Sentiment? {r}",
    "Decide whether the customer is happy. Reply with positive, negative or neutral only.\n\nCustomer: {r}",
    "Read the review and give its sentiment in one word.\n\n{r}",
    "Tell me the sentiment of this text: {r}",
    'Classify: "{r}" Reply with one word: positive, neutral or negative.',
    "Rate the tone of this customer review (positive / negative / neutral): {r}",
    "Does the reviewer like the product? Answer positive, negative or neutral.\n\n{r}",
    "Text: {r}\nLabel (positive, negative, neutral):",
    "You will be given a review. Answer positive, negative or neutral.\n\nReview: {r}\n\nAnswer:",
    "How does the customer feel? Choose positive, negative or neutral. {r}",
    "Analyze the sentiment of this review: {r}",
    "Sentiment analysis. Output only positive, negative or neutral.\n\nInput: {r}",
    "Determine the sentiment: {r}",
    'Give the sentiment of this product review as a single word.\nReview: "{r}"',
    "Please classify the following review as positive, neutral or negative:\n\n{r}",
    'Classify the sentiment of the following review as positive, negative, or neutral: "{r}"',
    "Is the sentiment of this review positive, neutral or negative?\n\n{r}",
    "What does this customer think, positive, negative or neutral? Review: {r}",
    "Label this product review (positive, negative or neutral) and say nothing else.\n{r}",
)

_SYSTEM_INSTRUCTIONS = (
    "Classify the sentiment of each review as positive, negative or neutral.",
    "You label product reviews. Answer with one word: positive, negative or neutral.",
    "Answer only with positive, negative or neutral.",
    "You are a sentiment classifier. The labels are positive, negative and neutral.",
    "For every review the user sends, reply with its sentiment: positive, negative or neutral.",
)

_ASPECTS = words.listed("""
battery|screen|sound|build quality|design|packaging|delivery|price|customer service|fit|fabric
colour|size|taste|smell|texture|material|handle|lid|zip|strap|motor|software|app|setup|manual
camera|picture|weight|finish|stitching|comfort|cushion|quality|performance|battery life|speed|heat
noise level|charger|cable|button|display|keyboard|touchpad|speaker|microphone|connection
support team|refund|shipping|assembly|surface|paint|frame|seat|wheel|lock|blade|filter|pump|hinge
lens|light|brightness|range|signal|menu|remote|box|seller|grip|sole|lining|pocket|shape|look
flavour|portion|ingredients|instructions|value|service|warranty|user interface
""")

_GOOD = words.listed("""
great|excellent|amazing|fantastic|wonderful|superb|perfect|brilliant|outstanding|lovely|very good
impressive|terrific|awesome|beautiful|top notch|first class|delightful|flawless|really nice|solid
reliable|better than expected|surprisingly good|exceptional|remarkable|spot on|good|pleasant|a joy
incredible|stunning|gorgeous|super|nice|comfortable|easy to use|sturdy|crisp|smooth|fast
worth every penny|high quality|well made|elegant|marvellous
""")

_BAD = words.listed("""
terrible|awful|horrible|poor|disappointing|bad|very bad|useless|dreadful|cheap and flimsy
a disaster|unacceptable|mediocre at best|worse than expected|a joke|disgusting|broken|faulty
defective|unreliable|flimsy|ugly|painful|frustrating|annoying|laughable|pathetic|a nightmare
not good|not good at all|very poor|rubbish|garbage|shoddy|really weak|sloppy|uncomfortable|slow
cracked|scratched|noisy|overpriced|hard to use|below average|appalling|lousy
""")

_PLAIN = words.listed("""
okay|average|fine|acceptable|ordinary|standard|as described|decent|so-so|adequate|nothing special
as expected|alright|normal|mediocre|neither good nor bad|unremarkable|typical for the price
passable|not bad, not great|OK
""")

_ASPECT_PATTERNS = (
    "The {a} is {w}.",
    "The {a} is {w}",
    "{A} is {w}.",
    "I find the {a} {w}.",
    "The {a} turned out to be {w}.",
    "I think the {a} is {w}.",
    "In my opinion the {a} is {w}.",
    "Also, the {a} is {w}.",
    "{A}: {w}.",
    "The {a} was {w}.",
    "My wife says the {a} is {w}.",
    "Honestly, the {a} is {w}!",
    "The {a} of this {p} is {w}.",
    "For me the {a} was simply {w}.",
    "After two weeks I can say the {a} is {w}.",
    "I have to say, the {a} is {w}.",
    "To be honest, the {a} was {w}.",
    "We all agree that the {a} is {w}.",
)

_PRODUCT_PATTERNS = (
    "This {p} is {w}.",
    "The {p} is {w}.",
    "{W} {p}.",
    "What a {p}, {w}!",
    "I bought this {p} last month and it is {w}.",
    "It is {w}.",
    "It's {w}.",
    "Overall it is {w}.",
    "All in all {w}.",
    "{W}!",
    "Simply {w}.",
    "Got the {p} for my birthday. It is {w}.",
    "We use the {p} every day and it is {w}.",
    "Overall the {p} is {w}.",
    "My new {p} is {w}.",
)

_GOOD_LINES = (
    "I love it.",
    "I love this {p}!",
    "Love it!",
    "Absolutely love this {p}.",
    "Highly recommended.",
    "I would recommend it to anyone.",
    "Would buy again.",
    "Best {p} I have ever owned.",
    "The best purchase I made this year.",
    "Works perfectly.",
    "It works like a charm.",
    "It does everything I hoped for and more.",
    "Exceeded my expectations.",
    "It far exceeded all my expectations.",
    "I am very happy with it.",
    "I'm so happy with this {p}.",
    "Very satisfied.",
    "I could not be happier.",
    "No complaints.",
    "No complaints at all, five stars.",
    "Five stars.",
    "10/10.",
    "Worth every cent.",
    "My kids adore it.",
    "It arrived early and looks gorgeous.",
    "Arrived quickly and well packed.",
    "Fast delivery, thank you!",
    "I have never had a problem with it.",
    "Never lets me down.",
    "It is not bad at all, I am impressed.",
    "I was sceptical at first, but now I use it every day and love it.",
    "I expected little and got a lot, great {p}.",
    "Thank you, I am thrilled!",
    "I already ordered a second one.",
    "Ordered two more for my family.",
    "A pleasure to use.",
    "Easy to set up and works right away.",
    "Lasts for days on a single charge.",
    "Still works like new after three years.",
    "Great value for money.",
    "A real bargain.",
    "My friends all want one now.",
    "It made my life so much easier.",
    "The {p} feels solid and well made.",
    "Customer service was kind and solved my question in minutes.",
    "I can't imagine my mornings without it.",
    "You will not regret buying this {p}.",
    "It fits perfectly.",
    "Delicious, the whole family enjoyed it.",
    "Exactly what I was looking for.",
    "Exactly what I needed.",
    "Makes me smile every time.",
    "I'm impressed.",
    "Fits like a glove.",
    "Can't fault it.",
    "A must-have.",
    "Buy it, you won't be disappointed.",
)

_BAD_LINES = (
    "I hate it.",
    "I regret buying it.",
    "Do not buy this {p}.",
    "Don't buy it.",
    "Waste of money.",
    "A complete waste of money.",
    "It broke after two days.",
    "Broke after one week.",
    "It stopped working after a month.",
    "Stopped working the second time I used it.",
    "I returned it.",
    "I sent it back and want a refund.",
    "I want my money back.",
    "Worst {p} I have ever bought.",
    "The worst purchase of my life.",
    "It does not work.",
    "Doesn't work at all.",
    "It never worked.",
    "Very disappointed.",
    "I am so disappointed with this {p}.",
    "Would not recommend it.",
    "I would not recommend it to anyone.",
    "I would never buy it again.",
    "Never again.",
    "One star.",
    "Zero stars if I could.",
    "1/10.",
    "It fell apart in my hands.",
    "The {p} fell apart after a few uses.",
    "It arrived damaged.",
    "Arrived broken and nobody answers my emails.",
    "Customer service was rude and no help.",
    "Customer service ignored me.",
    "The seller never replied.",
    "It leaks everywhere.",
    "It smells awful.",
    "Missing parts and no instructions.",
    "Took six weeks to arrive.",
    "The wrong colour was sent and they refuse to exchange it.",
    "I wanted to love it, but it is awful.",
    "I expected much more for this price.",
    "Not worth the money.",
    "Not worth it.",
    "It looks nothing like the picture.",
    "Cheap plastic, it cracked right away.",
    "The battery dies after an hour.",
    "It is far too loud.",
    "It gave me a headache.",
    "It is already in the bin.",
    "Avoid!",
    "Stay away from this {p}.",
    "Save your money.",
    "Total rubbish.",
    "I had nothing but trouble with it.",
    "It is not great, honestly it is terrible.",
    "Stains my clothes and scratches the floor.",
    "I threw it away.",
    "Falls short of everything it promises.",
    "Returned for a refund.",
    "Such a let-down.",
    "Completely useless.",
)

_PLAIN_LINES = (
    "It is okay.",
    "It's OK, nothing special.",
    "Does the job.",
    "It does what it says.",
    "It works, nothing more and nothing less.",
    "Neither good nor bad.",
    "Not bad, not great.",
    "Average {p}.",
    "An average {p} for an average price.",
    "I have no strong opinion about it.",
    "I have not used it much yet.",
    "It arrived on {day}.",
    "The {p} arrived yesterday.",
    "I bought the {c} one.",
    "It comes in a cardboard box.",
    "It is a {p} like any other.",
    "Three stars.",
    "3/5.",
    "It is what it is.",
    "Some will like it, some will not.",
    "It has its ups and downs.",
    "I use it now and then.",
    "Bought it for the office.",
    "I ordered the {c} version on {day}.",
    "The {p} weighs about {kg}.",
    "It is the same as my old one.",
    "You get what you pay for.",
    "Fine for the price.",
    "Not sure yet whether I will keep it.",
    "It is made of {m}.",
    "There are good and bad sides.",
    "Could be better, could be worse.",
    "It meets the basic needs.",
    "Nothing to write home about.",
    "I expected nothing special and got nothing special.",
    "Pretty standard.",
    "It came with a manual and a cable.",
    "Usable, but nothing stands out.",
)

_MIXED_PATTERNS = (
    "The {a} is {g}, but the {b} is {w}.",
    "{G} {a}, {w} {b}.",
    "I like the {a}, it is {g}. However, the {b} is {w}.",
    "The {b} is {w}, although the {a} is {g}.",
    "On the one hand the {a} is {g}, on the other hand the {b} is {w}.",
    "While the {a} is {g}, the {b} is {w}.",
    "{G} {a} but {w} {b}.",
    "The {a} is {g} but the {b} is {w}, so I am torn.",
)


def sentiment_example(draw: Draw) -> Example:
    """A review with its instruction, in one prompt or divided between system and user."""
    label = draw.any_of(LABELS)
    text = review(draw, label)
    if draw.chance(0.12):
        turns: tuple[Turn, ...] = (Turn("system", draw.phrasing_of(_SYSTEM_INSTRUCTIONS)), Turn("user", text))
    else:
        turns = (Turn("user", draw.phrasing_of(_INSTRUCTIONS).replace("{r}", text)),)
    return Example("sentiment", (*turns, Turn("model", label)))


def review(draw: Draw, label: str) -> str:
    """One to four sentences whose sentiment, taken together, is `label`."""
    item = words.product(draw)
    if label == "neutral":
        sentences = _neutral_sentences(draw, item)
    else:
        good = label == "positive"
        sentences = [_charged_sentence(draw, item, good) for _ in range(draw.any_of((1, 1, 2, 2, 3, 4)))]
        if draw.chance(0.2):
            sentences.insert(0, _plain_line(draw, item, _FACTS))
        if len(sentences) >= 3 and draw.chance(0.25):
            # One grumble in a happy review (or the reverse) does not change what it comes to.
            sentences.insert(draw.number(0, 1), _aspect_sentence(draw, item, _BAD if good else _GOOD))
    text = " ".join(sentences)
    if draw.chance(0.1):
        text = text.lower()
    return text


def _neutral_sentences(draw: Draw, item: str) -> list[str]:
    if draw.chance(0.3):
        first, second = draw.some_of(_ASPECTS, 2)
        pattern = draw.phrasing_of(_MIXED_PATTERNS)
        good, bad = draw.any_of(_GOOD), draw.any_of(_BAD)
        mixed = _fill(pattern, a=first, b=second, g=good, w=bad, p=item)
        return [mixed, _plain_line(draw, item, _PLAIN_LINES)] if draw.chance(0.4) else [mixed]
    return [
        _plain_line(draw, item, _PLAIN_LINES) if draw.chance(0.6) else _aspect_sentence(draw, item, _PLAIN)
        for _ in range(draw.any_of((1, 1, 2, 2, 3)))
    ]


def _charged_sentence(draw: Draw, item: str, good: bool) -> str:
    if draw.chance(0.5):
        return _fill(draw.any_of(_GOOD_LINES if good else _BAD_LINES), p=item)
    return _aspect_sentence(draw, item, _GOOD if good else _BAD)


def _aspect_sentence(draw: Draw, item: str, adjectives: list[str]) -> str:
    word = draw.any_of(adjectives)
    if draw.chance(0.15) and " " not in word and adjectives is not _PLAIN:
        word = draw.any_of(("very", "really", "so", "absolutely", "just", "extremely", "truly")) + " " + word
    if draw.chance(0.6):
        return _fill(draw.phrasing_of(_ASPECT_PATTERNS), a=draw.one_of(_ASPECTS), w=word, p=item)
    return _fill(draw.phrasing_of(_PRODUCT_PATTERNS), w=word, p=item)


_FACTS = (
    "I bought this {p} on {day}.",
    "I ordered the {c} one.",
    "It arrived on {day}.",
    "I have had the {p} for two months.",
    "Bought it for my sister.",
    "It was a gift.",
    "This is my second {p}.",
)


def _plain_line(draw: Draw, item: str, lines: tuple[str, ...]) -> str:
    return _fill(
        draw.any_of(lines),
        p=item,
        day=draw.any_of(words.WEEKDAYS),
        c=words.colour(draw),
        m=words.material(draw),
        kg=words.weight(draw),
    )


def _fill(pattern: str, **slots: str) -> str:
    """Put words into a pattern; a capital slot letter asks for a capital first letter."""
    for slot, word in slots.items():
        pattern = pattern.replace("{" + slot + "}", word)
        pattern = pattern.replace("{" + slot.upper() + "}", word[:1].upper() + word[1:])
    return pattern
