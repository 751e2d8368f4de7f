"""A short catalogue text that uses the attributes of a product."""

from tools.pocket import words
from tools.pocket.draw import Draw, Example, Turn

_FEATURES = words.listed("""
adjustable height|USB-C charging|rounded edges|three speed settings|extra storage|touch controls
non-slip feet|reinforced seams|dimmable light|wireless charging|noise cancelling
fast drying fabric|removable parts|solar charging|breathable lining|quiet operation
child safety locks|scratch resistance|hidden pockets|memory functions|bluetooth pairing
double stitching|padded straps|magnetic closures|energy saving mode|water resistance|easy cleaning
automatic shut-off|soft grip handles|dishwasher safe parts|reflective details
""")

_AUDIENCES = words.listed("""
students|small kitchens|families|travellers|the office|beginners|outdoor trips|daily use|children
home cooks|runners|commuters|gardeners|pet owners|campers|artists|small flats|remote workers
cyclists|gifts|musicians
""")

_INSTRUCTIONS = (
    "Write a short catalogue text for this product.\n{a}",
    "Write a product description from these attributes: {a}",
    "Write one or two sentences for our catalogue.\n\n{a}",
    "Describe this product for an online shop.\n{a}",
    "{a}\n\nWrite a short product text.",
    "Product attributes:\n{a}\n\nWrite a catalogue entry.",
    "Create a short shop description for: {a}",
    "Turn these attributes into a short product description: {a}",
    "Catalogue text, please: {a}",
    "Write a brief, factual description of this product.\n{a}",
    "Write a short description for a web shop.\n\n{a}",
    "Write a catalogue description in one or two sentences.\n{a}",
    "Write a short product description for the catalogue. {a}",
)

_SYSTEM_INSTRUCTIONS = (
    "You write short catalogue texts from product attributes.",
    "Write a short product description for every product the user sends.",
    "You are a copywriter for an online shop. Use every attribute.",
)


def catalogue_example(draw: Draw) -> Example:
    """Attributes in, one or two sentences out that mention each of them word for word."""
    attributes = _attributes(draw)
    listed = _list(draw, attributes)
    if draw.chance(0.15):
        turns: tuple[Turn, ...] = (
            Turn("system", draw.phrasing_of(_SYSTEM_INSTRUCTIONS)),
            Turn("user", listed),
        )
    else:
        turns = (Turn("user", draw.phrasing_of(_INSTRUCTIONS).replace("{a}", listed)),)
    return Example(
        "catalogue", (*turns, Turn("model", _describe(attributes))), required=tuple(attributes.values())
    )


def _attributes(draw: Draw) -> dict[str, str]:
    made: dict[str, str] = {"product": words.product(draw)}
    if draw.chance(0.7):
        made["brand"] = words.brand(draw)
    if draw.chance(0.65):
        made["material"] = words.material(draw)
    if draw.chance(0.65):
        made["colour"] = words.colour(draw)
    if draw.chance(0.35):
        made["size"] = words.size(draw)
    if draw.chance(0.5):
        made["feature"] = words.sometimes_made_up(draw, _FEATURES)
    if draw.chance(0.35):
        made["audience"] = words.sometimes_made_up(draw, _AUDIENCES)
    if draw.chance(0.3):
        made["price"] = words.price(draw)
    if len(made) < 3:
        made["colour"], made["feature"] = words.colour(draw), words.sometimes_made_up(draw, _FEATURES)
    return made


_LABELS = {
    "product": ("product", "name", "item"),
    "brand": ("brand", "maker"),
    "material": ("material",),
    "colour": ("colour", "color"),
    "size": ("size", "dimensions"),
    "feature": ("feature", "features", "key feature"),
    "audience": ("ideal for", "audience", "for"),
    "price": ("price",),
}


def _list(draw: Draw, attributes: dict[str, str]) -> str:
    """The attributes as a prompt would give them, the product first more often than not."""
    names = list(attributes)
    if draw.chance(0.3):
        names = draw.shuffled(names)
    capital = draw.chance(0.6)
    labels = [draw.any_of(_LABELS[name]) for name in names]
    pairs = [
        f"{label.capitalize() if capital else label}: {attributes[name]}"
        for label, name in zip(labels, names, strict=True)
    ]
    return draw.any_of(("\n", "\n", "; ", ", ", " | ")).join(pairs)


def _describe(attributes: dict[str, str]) -> str:
    """One sentence on what the product is, one on what it offers; every attribute in its words."""
    brand = f"{attributes['brand']} " if "brand" in attributes else ""
    subject = f"The {brand}{attributes['product']}"
    is_clauses = [
        clause.format(attributes[name])
        for name, clause in (
            ("material", "is made of {}"),
            ("colour", "comes in {}"),
            ("size", "measures {}"),
        )
        if name in attributes
    ]
    offers_clauses = [
        clause.format(attributes[name])
        for name, clause in (
            ("feature", "offers {}"),
            ("audience", "is ideal for {}"),
            ("price", "costs {}"),
        )
        if name in attributes
    ]
    if not is_clauses or not offers_clauses:
        return f"{subject} {_enumerate(is_clauses or offers_clauses)}."
    return f"{subject} {_enumerate(is_clauses)}. It {_enumerate(offers_clauses)}."


def _enumerate(clauses: list[str]) -> str:
    if len(clauses) == 1:
        return clauses[0]
    return f"{', '.join(clauses[:-1])} and {clauses[-1]}"
