"""What documents may say of one subject: kinds of subject, and the facts each kind can have."""

from collections.abc import Callable
from dataclasses import dataclass

from tools.pocket import words
from tools.pocket.draw import Draw


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know: how to make it, how documents state it of {s}, how questions ask."""

    make: Callable[[Draw], str]
    statements: tuple[str, ...]
    questions: tuple[str, ...]


def _subject_maker(kinds: str, *, article: str = "") -> Callable[[Draw], str]:
    choices = words.listed(kinds)

    def make(draw: Draw) -> str:
        return f"{article}{draw.made_up(words.pseudo_name)} {draw.one_of(choices)}"

    return make


def _listed(items: str) -> Callable[[Draw], str]:
    choices = words.listed(items)

    def make(draw: Draw) -> str:
        return words.sometimes_made_up(draw, choices)

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
KINDS: tuple[tuple[Callable[[Draw], str], tuple[Fact, ...]], ...] = (
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
        _subject_maker("Bridge|Tower|Ferry|Canal|Tunnel|Harbour|Station", article="the "),
        (_LENGTH, _OWNER, _PLACE, _FOUNDED, _STAFF, _ENTRY),
    ),
    (
        _subject_maker("School|Hotel|Bakery|Restaurant|Clinic|Club|Farm|Brewery|Bookshop|Hostel|Gym"),
        (_FOUNDED, _FOUNDER, _PLACE, _OPENING, _CLOSED, _PHONE, _EMAIL, _OWNER, _STAFF),
    ),
)
