"""Names, numbers, dates and things: the raw material of every task."""

import random
from collections.abc import Sequence

from tools.pocket.draw import Draw


def listed(text: str) -> list[str]:
    """The items of a text that separates them by bars or line ends."""
    return text.replace("\n", "|").strip("|").split("|")


_FIRST_NAMES = listed("""
Anna|Ben|Clara|David|Elena|Felix|Grace|Henry|Ines|Jonas|Karen|Liam|Maria|Noah|Olivia|Paul|Quentin
Rosa|Samuel|Tara|Ursula|Victor|Wendy|Xavier|Yara|Zoe|Ahmed|Bianca|Carlos|Daniela|Emil|Fatima
George|Hana|Igor|Julia|Kenji|Laura|Marco|Nadia|Oscar|Priya|Rahul|Sofia|Thomas|Uma|Vera|Walter
Yusuf|Alice|Robert|Chen|Mei|Diego|Ewa|Finn|Gita|Hugo|Irene|James|Kofi|Lena|Mohamed|Nora|Owen|Petra
Rita|Stefan|Tom|Aisha|Bruno|Cathy|Dmitri|Esther|Frank|Greta|Hassan|Ivan|Jane|Klara|Lucas|Mona|Nils
Omar|Peter|Ravi|Sarah|Tobias|Emma|John|Michael|Linda|Susan|Mark|Helen|Andrew|Judith|Simon|Amelia
Arjun|Beatriz|Colin|Dora|Edgar|Freya|Gustav|Holly|Isaac|Jasmine|Kurt|Leila|Matteo|Nina|Otto|Pablo
Renata|Sven|Tessa|Valentin|Wilma
""")

_LAST_NAMES = listed("""
Smith|Keller|Novak|Garcia|Okafor|Lindholm|Tanaka|Weber|Rossi|Dubois|Hughes|Brown|Larsen|Costa
Schmidt|Silva|Murphy|Patel|Khan|Meyer|Jansen|Moreau|Wagner|Fischer|Young|Clark|Walker|Wright
Turner|Baker|Cooper|Reed|Morris|Bailey|Bell|Murray|Stone|Wells|Hunt|Grant|Fox|Hart|Lane|Cole|Ford
Marsh|Nash|Pike|Quinn|Shaw|Webb|Singh|Nguyen|Haddad|Osman|Farouk|Ibrahim|Mensah|Diallo|Kimura|Sato
Yamamoto|Park|Lee|Wong|Zhang|Liu|Ali|Petrov|Ivanov|Kowalski|Horvat|Popescu|Andersson|Nilsson|Berg
Dahl|Haugen|Virtanen|Peeters|Claes|Romano|Ferrari|Greco|Santos|Pereira|Almeida|Fernandez|Lopez
Torres|Vargas|Mendoza|Johnson|Miller|Davis|Wilson|Taylor|Thomas|Martin|Lewis|Harris|Campbell
Stewart|Ross|Hamilton|Graham|Fraser
""")

_TOWNS = listed("""
Lisbon|Berlin|Oslo|Vienna|Madrid|Prague|Dublin|Warsaw|Helsinki|Athens|Rome|Paris|London|Chicago
Boston|Toronto|Denver|Seattle|Austin|Nairobi|Lagos|Cairo|Mumbai|Delhi|Tokyo|Osaka|Seoul|Sydney
Perth|Auckland|Bergen|Hamburg|Munich|Lyon|Porto|Seville|Turin|Geneva|Zurich|Basel|Ghent|Utrecht
Leeds|Bristol|York|Bath|Cardiff|Glasgow|Cork|Galway|Krakow|Brno|Riga|Tallinn|Vilnius|Malmo|Aarhus
Tampere|Reykjavik|Valencia|Naples|Marseille|Nice|Dresden|Leipzig|Graz|Linz|Zagreb|Split|Sofia
Bucharest|Izmir|Haifa|Montreal
""")

_COMPANY_ENDINGS = listed(
    "Ltd|GmbH|Inc.|Group|Labs|Foods|Systems|Logistics|Works|Studio|& Sons|Partners|Design"
)

PRODUCTS = listed("""
desk lamp|coffee grinder|water bottle|rain jacket|office chair|phone case|backpack|headphones
kettle|toaster|wool blanket|yoga mat|bike helmet|garden hose|frying pan|chef knife|cutting board
travel mug|alarm clock|picture frame|wall shelf|floor rug|bath towel|pillow|mattress|hand mixer
blender|vacuum cleaner|air purifier|table fan|space heater|door mat|umbrella|wallet|leather belt
running shoes|hiking boots|winter gloves|scarf|sun hat|sunglasses|wrist watch|notebook
fountain pen|pencil case|school bag|lunch box|baby monitor|stroller|toy train|board game
jigsaw puzzle|guitar stand|music speaker|keyboard|computer mouse|monitor|webcam|printer|tablet
router|power bank|charging cable|memory card|camera bag|tripod|tent|sleeping bag|camping stove
torch|cool box|fishing rod|tennis racket|football|swimsuit|ski goggles|dumbbell|jump rope
bath scale|hair dryer|electric razor|toothbrush|soap set|candle|vase|flower pot|watering can
bird feeder|dog bed|cat tree|fish tank|sofa|armchair|dining table|bookcase|wardrobe|bed frame
curtain|mirror|clothes rack|shoe rack|storage box|tool box|cordless drill|hammer|paint roller
ladder|work gloves|extension cord|smoke alarm|doorbell|tea pot|salad bowl|dinner plate|wine glass
baking tray|rolling pin|spice rack|apron|oven glove|ice cream maker|juicer|rice cooker|slow cooker
waffle iron|thermometer|humidifier|desk organizer|whiteboard|stapler|paper shredder|sewing machine
knitting set|paint brush set|sketch book|telescope|microscope|globe|desk calendar|key ring
""")

MATERIALS = listed("""
oak|steel|stainless steel|cotton|linen|leather|glass|bamboo|aluminium|recycled plastic|wool
ceramic|silicone|walnut|cork|canvas|nylon|brass|marble|rubber|merino wool|pine|copper|felt|silk
carbon fibre|birch|porcelain|jute
""")

COLOURS = listed("""
black|white|red|navy blue|green|grey|beige|yellow|orange|purple|brown|pink|silver|dark green
sky blue|cream|turquoise|gold|charcoal|olive|burgundy|mint|coral|teal|ivory|rust red
""")

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = listed("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")

_ONSETS = listed("""
b|c|d|f|g|h|j|k|l|m|n|p|r|s|t|v|w|z|b|d|g|k|l|m|n|p|r|s|t|br|cr|dr|fl|gr|kl|kr|pl|pr|sh|sk|sl|st
th|tr|v
""")
_VOWELS = listed("a|e|i|o|u|a|e|i|o|ai|ea|ie|o|ou")
_CODAS = ["", "", "", "", "", "l", "m", "n", "r", "s", "t", "x", "nd", "rk", "ck", "lm", "st", "th"]


def pseudo_word(rng: random.Random) -> str:
    """A pronounceable word of one to three syllables that means nothing."""
    syllables = rng.choice((1, 2, 2, 2, 2, 3))
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(syllables)]
    word = "".join(parts)
    return word if len(word) > 3 else word + rng.choice(("ra", "lo", "ne", "vik"))


def pseudo_name(rng: random.Random) -> str:
    """A made-up word with a capital letter."""
    return pseudo_word(rng).capitalize()


def first_name(draw: Draw) -> str:
    """A first name, real more often than made up."""
    return draw.one_of(_FIRST_NAMES) if draw.chance(0.6) else draw.made_up(pseudo_name)


def person(draw: Draw) -> str:
    """A first and a last name, sometimes with an initial or a title."""
    last = draw.one_of(_LAST_NAMES) if draw.chance(0.35) else draw.made_up(pseudo_name)
    first = first_name(draw)
    style = draw.random.random()
    if style < 0.06:
        return f"{draw.any_of(('Dr.', 'Ms.', 'Mr.', 'Prof.'))} {first} {last}"
    if style < 0.12:
        return f"{first} {draw.any_of('ABCDEFGHJKLMNPRSTW')}. {last}"
    return f"{first} {last}"


def town(draw: Draw) -> str:
    """A town, real or made up."""
    return draw.one_of(_TOWNS) if draw.chance(0.4) else draw.made_up(pseudo_name)


def company(draw: Draw) -> str:
    """A made-up company, most often with a legal form or a trade."""
    name = draw.made_up(pseudo_name)
    if draw.chance(0.2):
        name += draw.any_of(("tech", "soft", "line", "wood", "craft"))
    return f"{name} {draw.any_of(_COMPANY_ENDINGS)}" if draw.chance(0.7) else name


def brand(draw: Draw) -> str:
    """A made-up brand of one word."""
    return draw.made_up(pseudo_name)


def email(draw: Draw, name: str) -> str:
    """An address that begins with the person's name more often than not."""
    parts = [part.strip(".").lower() for part in name.split()]
    user = draw.any_of((f"{parts[-2]}.{parts[-1]}", parts[-1], f"{parts[-2][0]}{parts[-1]}", parts[-2]))
    if draw.chance(0.2):
        user = draw.made_up(pseudo_word) + str(draw.number(1, 99))
    domain = draw.any_of(("com", "org", "net", "example", "io", "de", "co.uk"))
    return f"{user}@{draw.made_up(pseudo_word)}.{domain}"


def phone(draw: Draw) -> str:
    """A telephone number in one of five notations."""
    digits = "".join(str(draw.number(0, 9)) for _ in range(9))
    return draw.any_of(
        (
            f"+{draw.number(1, 98)} {digits[:3]} {digits[3:]}",
            f"{digits[:3]}-{digits[3:6]}-{digits[6:]}0",
            f"0{digits[:4]} {digits[4:]}",
            f"({digits[:3]}) {digits[3:6]}-{digits[5:]}",
            f"555-0{digits[:3]}",
        )
    )


def code(draw: Draw) -> str:
    """An order, ticket or part number."""
    letters = "".join(draw.any_of("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(draw.number(1, 3)))
    digits = "".join(str(draw.number(0, 9)) for _ in range(draw.number(3, 6)))
    return draw.any_of(
        (
            f"{letters}-{digits}",
            f"{letters}{digits}",
            digits,
            f"#{digits}",
            f"{letters}-{digits[:2]}-{digits[2:]}",
        )
    )


def date(draw: Draw) -> str:
    """A day, with or without its year, in one of six notations."""
    day, month, year = draw.number(1, 28), draw.number(1, 12), draw.number(1990, 2029)
    name = MONTHS[month - 1]
    return draw.any_of(
        (
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{year}-{month:02}-{day:02}",
            f"{day} {name}",
            f"{name} {day}",
            f"{day:02}/{month:02}/{year}",
        )
    )


def clock_time(draw: Draw) -> str:
    """A time of day in one of four notations."""
    hour, minute = draw.number(1, 12), draw.any_of((0, 10, 15, 20, 30, 40, 45))
    return draw.any_of(
        (
            f"{hour}:{minute:02}",
            f"{hour} {draw.any_of(('am', 'pm'))}",
            f"{hour + 11}:{minute:02}",
            f"{hour}:{minute:02} {draw.any_of(('am', 'pm'))}",
        )
    )


def year(draw: Draw) -> str:
    """A year between 1450 and 2026."""
    return str(draw.number(1450, 2026))


def price(draw: Draw) -> str:
    """An amount of money with its currency."""
    whole, cents = (
        draw.number(1, 10 ** draw.number(1, 4)),
        draw.any_of((0, 49, 50, 90, 95, 99, draw.number(0, 99))),
    )
    amount = f"{whole}.{cents:02}"
    return draw.any_of(
        (
            f"${amount}",
            f"€{amount}",
            f"{amount} EUR",
            f"£{amount}",
            f"${whole}",
            f"{whole} euros",
            f"{amount} USD",
        )
    )


def count(draw: Draw) -> str:
    """A whole number of one to four digits, in digits."""
    return str(draw.number(2, 10 ** draw.number(1, 4)))


def sometimes_made_up(draw: Draw, items: Sequence[str]) -> str:
    """An item of a list or, one time in three, a word that means nothing.

    A list is short enough to learn by heart; then a word outside it would never be copied.
    """
    return draw.one_of(items) if draw.chance(0.67) else draw.made_up(pseudo_word)


def product(draw: Draw) -> str:
    """Something a shop sells; one time in three its name is, or begins with, a made-up word."""
    name = draw.one_of(PRODUCTS)
    if draw.chance(0.67):
        return name
    word = draw.made_up(pseudo_word)
    return f"{word} {name.split()[-1]}" if draw.chance(0.5) else word


def colour(draw: Draw) -> str:
    """A colour of a product."""
    return sometimes_made_up(draw, COLOURS)


def material(draw: Draw) -> str:
    """What a product is made of."""
    return sometimes_made_up(draw, MATERIALS)


def size(draw: Draw) -> str:
    """A size, in words or units."""
    return draw.any_of(
        (
            "small",
            "medium",
            "large",
            "XL",
            f"{draw.number(10, 220)} cm",
            f"{draw.number(10, 99)} x {draw.number(10, 99)} cm",
            f"size {draw.number(34, 47)}",
            f"{draw.number(2, 60)} inch",
        )
    )


def weight(draw: Draw) -> str:
    """A weight in grams or kilograms."""
    return draw.any_of(
        (
            f"{draw.number(50, 999)} g",
            f"{draw.number(1, 40)} kg",
            f"{draw.number(1, 9)}.{draw.number(1, 9)} kg",
        )
    )


def span(draw: Draw) -> str:
    """A length of time."""
    unit = draw.any_of(("minutes", "hours", "days", "weeks", "months", "years"))
    in_words = ("two", "three", "four", "five", "six", "ten", "twelve")
    return f"{draw.any_of((str(draw.number(2, 90)), *in_words))} {unit}"
