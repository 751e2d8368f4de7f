"""What documents may say of one subject: kinds of subject, and the facts each kind can have."""

from collections.abc import Callable
from dataclasses import dataclass

from tools.pocket import words
from tools.pocket.draw import Draw


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know of {s}: how to answer, make it, state it in a document, and ask for it.

    Answers name the subject first and the value last, so that the model has restated what it is
    looking for by the time it has to find it.
    """

    answer: str
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
    "{s} was founded in {v}.",
    words.year,
    (
        "Since {v}, {s} has served its visitors.",
        "{s} dates back to {v}.",
        "The founding year of {s} is {v}.",
        "{s} opened in {v}.",
        "{s} began its work in {v}.",
        "{s}, founded in {v}, is still open.",
        "{s} was founded in {v}.",
        "Founded in {v}, {s} is well known in the region.",
        "{s} was established in {v}.",
        "The history of {s} began in {v}, when it was founded.",
        "It was in {v} that {s} was founded.",
    ),
    (
        "Since when does {s} exist?",
        "When was {s} established?",
        "When did {s} open?",
        "What is the founding year of {s}?",
        "In which year did {s} open?",
        "How old is {s}, when was it founded?",
        "When was {s} founded?",
        "In which year was {s} founded?",
        "What year was {s} established?",
        "When did {s} start?",
        "In what year was {s} founded?",
    ),
)
_FOUNDER = Fact(
    "The founder of {s} is {v}.",
    words.person,
    (
        "{s} goes back to {v}.",
        "It was {v} who founded {s}.",
        "{s} owes its start to {v}.",
        "{s} was set up by {v}.",
        "{v} started {s}.",
        "{s} was created by {v}.",
        "{s} was started by {v}.",
        "Its founder is {v}.",
        "The founder of {s} was {v}.",
        "{v} founded {s}.",
        "{s} was founded by {v}.",
    ),
    (
        "Who set up {s}?",
        "Who created {s}?",
        "What is the name of the founder of {s}?",
        "Which person founded {s}?",
        "Who was it that founded {s}?",
        "Who founded {s}?",
        "Who is the founder of {s}?",
        "Who started {s}?",
        "By whom was {s} founded?",
        "Who was the founder of {s}?",
    ),
)
_PLACE = Fact(
    "{s} is located in {v}.",
    words.town,
    (
        "{s} stands in {v}.",
        "{s} has its seat in {v}.",
        "{s} can be found in {v}.",
        "The address of {s} is in {v}.",
        "Come to {v} to see {s}.",
        "{s} lies in {v}.",
        "{s} is located in {v}.",
        "{s} is in {v}.",
        "You find {s} in {v}.",
        "{s} is based in {v}.",
        "The home of {s} is {v}.",
    ),
    (
        "Where can I find {s}?",
        "What town is {s} in?",
        "In which city can {s} be found?",
        "Where does {s} have its seat?",
        "What is the location of {s}?",
        "Which town is home to {s}?",
        "Where is {s}?",
        "Where is {s} located?",
        "In which town is {s}?",
        "Which city is {s} based in?",
        "In which city is {s} located?",
    ),
)
_DIRECTOR = Fact(
    "The director of {s} is {v}.",
    words.person,
    (
        "{s} is run by {v}.",
        "The manager of {s} is {v}.",
        "{v} leads {s}.",
        "At the head of {s} stands {v}.",
        "The current director of {s} is {v}.",
        "{s} is headed by {v}.",
        "{s} is led by {v}.",
        "The director is {v}.",
        "{v} is the director of {s}.",
        "Today {v} runs {s}.",
        "The head of {s} is {v}.",
    ),
    (
        "Who is in charge of {s}?",
        "Who manages {s}?",
        "Who is the manager of {s}?",
        "Who is the current director of {s}?",
        "Who heads {s}?",
        "What is the director of {s} called?",
        "Who leads {s}?",
        "Who is the director of {s}?",
        "Who runs {s}?",
        "What is the name of the director?",
        "Who is the head of {s}?",
    ),
)
_STAFF = Fact(
    "The number of employees at {s} is {v}.",
    words.count,
    (
        "{v} people are employed at {s}.",
        "With {v} employees, {s} is not small.",
        "{s} has a staff of {v}.",
        "The team of {s} has {v} members.",
        "{v} people work for {s}.",
        "{s} has {v} employees.",
        "About {v} people work at {s}.",
        "{s} employs {v} people.",
        "There are {v} employees at {s}.",
        "The staff of {s} numbers {v} people.",
    ),
    (
        "How many members does the team of {s} have?",
        "What is the number of employees at {s}?",
        "How big is the team of {s}?",
        "How many employees work at {s}?",
        "How many people work for {s}?",
        "How many employees does {s} have?",
        "How many people work at {s}?",
        "How many people does {s} employ?",
        "How large is the staff of {s}?",
        "How many people are employed at {s}?",
    ),
)
_OPENING = Fact(
    "{s} is open from {v}.",
    lambda draw: f"{words.clock_time(draw)} to {words.clock_time(draw)}",
    (
        "{s} opens from {v}.",
        "You can visit {s} from {v}.",
        "{s} welcomes guests from {v}.",
        "Hours: {v}.",
        "{s} can be visited from {v}.",
        "{s} is open from {v}.",
        "Opening hours are {v}.",
        "The doors are open from {v}.",
        "Visitors can come from {v}.",
        "Opening times: {v}.",
    ),
    (
        "What hours is {s} open?",
        "When can I visit {s}?",
        "From when to when is {s} open?",
        "During which hours is {s} open?",
        "When does {s} open and close?",
        "When is {s} open?",
        "What are the opening hours of {s}?",
        "What are the opening hours?",
        "At what times is {s} open?",
        "What are the opening times of {s}?",
    ),
)
_CLOSED = Fact(
    "{s} is closed on {v}.",
    lambda draw: draw.any_of(words.WEEKDAYS),
    (
        "{s} has no visitors on {v}.",
        "Note that {s} is closed on {v}.",
        "The only closing day of {s} is {v}.",
        "{s} takes a rest on {v}.",
        "On {v}, {s} is not open.",
        "{s} is closed on {v}.",
        "On {v} it stays closed.",
        "It does not open on {v}.",
        "Closed on {v}.",
        "{s} closes every {v}.",
    ),
    (
        "What is the closing day of {s}?",
        "On what day is {s} not open?",
        "Which day of the week is {s} closed?",
        "On which weekday is {s} closed?",
        "On which day is {s} closed?",
        "When is {s} closed?",
        "Which day is it closed?",
        "What day is {s} closed?",
        "On what day does {s} close?",
    ),
)
_ENTRY = Fact(
    "A ticket for {s} costs {v}.",
    words.price,
    (
        "You pay {v} to get in.",
        "{s} charges {v} for a ticket.",
        "Admission to {s} is {v}.",
        "Visitors pay {v}.",
        "The entry fee is {v} per person.",
        "A ticket costs {v}.",
        "Entry is {v}.",
        "The entrance fee is {v}.",
        "Tickets for {s} cost {v}.",
        "The price of a ticket is {v}.",
    ),
    (
        "What is the price of admission?",
        "How much is the entry to {s}?",
        "What do visitors pay?",
        "What does a ticket for {s} cost?",
        "How much is the entrance fee?",
        "How much is a ticket?",
        "How much does a ticket cost?",
        "What is the entrance fee of {s}?",
        "How much does {s} cost?",
        "What is the price of a ticket?",
    ),
)
_PRICE = Fact(
    "{s} costs {v}.",
    words.price,
    (
        "{s} is available for {v}.",
        "The shop asks {v} for {s}.",
        "{s} goes for {v}.",
        "Customers pay {v} for {s}.",
        "At {v}, {s} is a fair offer.",
        "{s} costs {v}.",
        "The price of {s} is {v}.",
        "{s} is sold for {v}.",
        "It costs {v}.",
        "You can buy {s} for {v}.",
    ),
    (
        "How much do customers pay for {s}?",
        "What is the cost of {s}?",
        "What price does {s} have?",
        "How expensive is {s}?",
        "How much money is {s}?",
        "How much does {s} cost?",
        "What is the price of {s}?",
        "What does {s} cost?",
        "How much is {s}?",
        "For how much can you buy {s}?",
    ),
)
_PHONE = Fact(
    "The phone number of {s} is {v}.",
    words.phone,
    (
        "{s} answers the phone at {v}.",
        "For questions dial {v}.",
        "Telephone: {v}.",
        "The telephone number of {s} is {v}.",
        "{s} can be reached by phone at {v}.",
        "The phone number is {v}.",
        "Call {v} for information.",
        "You can call {s} at {v}.",
        "Phone: {v}.",
        "The phone number of {s} is {v}.",
    ),
    (
        "What is the telephone number of {s}?",
        "What number do I dial for {s}?",
        "Under which phone number can {s} be reached?",
        "What is the number of {s}?",
        "How can {s} be reached by phone?",
        "What is the phone number of {s}?",
        "What is the phone number?",
        "Which number can I call?",
        "How can I call {s}?",
        "What phone number does {s} have?",
    ),
)
_EMAIL = Fact(
    "The email address of {s} is {v}.",
    lambda draw: words.email(draw, words.person(draw)),
    (
        "Send a mail to {v}.",
        "{s} can be reached at {v}.",
        "The contact email is {v}.",
        "Write to {s} at {v}.",
        "Mail for {s} goes to {v}.",
        "Questions go to {v}.",
        "The email address is {v}.",
        "You can write to {v}.",
        "Email: {v}.",
        "The email address of {s} is {v}.",
    ),
    (
        "What is the contact email?",
        "What email address does {s} have?",
        "To which address can I send a mail to {s}?",
        "How can I reach {s} by email?",
        "Which email address does {s} use?",
        "What is the email address of {s}?",
        "What is the email address?",
        "Where can I write to {s}?",
        "Which email address should I use?",
        "What is the email of {s}?",
    ),
)
_MATERIAL = Fact(
    "{s} is made of {v}.",
    words.material,
    (
        "{s} is built from {v}.",
        "The makers used {v} for {s}.",
        "The body of {s} is {v}.",
        "{s} is a product of {v}.",
        "{s} was made out of {v}.",
        "{s} is made of {v}.",
        "The material is {v}.",
        "It is made from {v}.",
        "{s} consists of {v}.",
        "The material of {s} is {v}.",
    ),
    (
        "From what is {s} made?",
        "Which material was used for {s}?",
        "What is {s} built from?",
        "What kind of material is {s} made of?",
        "What is {s} made of?",
        "Which material is {s} made of?",
        "What is the material of {s}?",
        "What material is used for {s}?",
        "What is the material?",
    ),
)
_COLOUR = Fact(
    "The colour of {s} is {v}.",
    words.colour,
    (
        "{s} is sold in {v}.",
        "The available colour is {v}.",
        "You get {s} in {v}.",
        "{s} has a {v} finish.",
        "{s} comes in {v}.",
        "Its colour is {v}.",
        "The colour of {s} is {v}.",
        "It is {v} in colour.",
        "The colour is {v}.",
    ),
    (
        "In which colour is {s} sold?",
        "Which colour is available?",
        "In what colour does {s} come?",
        "What is the available colour?",
        "What colour is {s}?",
        "What is the colour of {s}?",
        "Which colour does {s} come in?",
        "What color is {s}?",
        "Which colour is {s}?",
    ),
)
_WEIGHT = Fact(
    "{s} weighs {v}.",
    words.weight,
    (
        "{s} has a weight of {v}.",
        "The scale shows {v} for {s}.",
        "Weight: {v}.",
        "With {v}, {s} is easy to carry.",
        "{s} weighs {v}.",
        "It weighs {v}.",
        "The weight is {v}.",
        "At {v}, it is light enough to carry.",
        "The weight of {s} is {v}.",
    ),
    (
        "What weight does {s} have?",
        "How many kilograms does {s} weigh?",
        "Do you know how heavy {s} is?",
        "How much weight does {s} have?",
        "How much does {s} weigh?",
        "What is the weight of {s}?",
        "How heavy is {s}?",
        "What does {s} weigh?",
        "What is its weight?",
    ),
)
_WARRANTY = Fact(
    "The warranty of {s} lasts {v}.",
    words.span,
    (
        "{s} is under warranty for {v}.",
        "The maker gives a warranty of {v}.",
        "Warranty: {v}.",
        "A warranty of {v} is included.",
        "The warranty lasts {v}.",
        "{s} has a warranty of {v}.",
        "It comes with a warranty of {v}.",
        "The warranty covers {v}.",
        "The warranty of {s} lasts {v}.",
    ),
    (
        "For how long is {s} under warranty?",
        "What is the warranty of {s}?",
        "How many years of warranty does {s} have?",
        "What warranty is included?",
        "How long is the warranty?",
        "How long does the warranty last?",
        "What warranty does {s} have?",
        "How long is the warranty of {s}?",
        "What is the length of the warranty?",
    ),
)
_CHARGING = Fact(
    "Charging {s} takes {v}.",
    words.span,
    (
        "Charging {s} takes {v}.",
        "The charging time is {v}.",
        "Charging time: {v}.",
        "It is charged in {v}.",
        "Charging takes {v}.",
        "A full charge takes {v}.",
        "It needs {v} to charge.",
        "The battery is full after {v}.",
        "{s} takes {v} to charge.",
    ),
    (
        "What is the charging time?",
        "How long does it take until {s} is charged?",
        "What is the charging time of {s}?",
        "How long must {s} charge?",
        "How long does charging take?",
        "How long does a full charge take?",
        "How long does {s} need to charge?",
        "How long does it take to charge {s}?",
        "How long does it take to charge?",
    ),
)
_RETURNS = Fact(
    "{s} can be returned within {v}.",
    words.span,
    (
        "Returns of {s} are free for {v}.",
        "The shop takes {s} back within {v}.",
        "You have {v} to return {s}.",
        "Return period: {v}.",
        "You can return {s} within {v}.",
        "Returns are accepted within {v}.",
        "The return period is {v}.",
        "Customers may send it back within {v}.",
        "Returns are possible for {v}.",
    ),
    (
        "How much time do I have to return {s}?",
        "Until when can {s} be returned?",
        "What is the return period of {s}?",
        "For how long does the shop take {s} back?",
        "How long can I return {s}?",
        "What is the return period?",
        "Within what time are returns accepted?",
        "How long do customers have to return {s}?",
        "How long are returns possible?",
    ),
)
_JOB = Fact(
    "{s} works as a {v}.",
    _listed("""
nurse|teacher|baker|builder|painter|lawyer|farmer|doctor|pilot|librarian|gardener|carpenter
chemist|singer|writer|photographer|tailor|journalist|mechanic|butcher|translator|fisherman|plumber
dentist|historian
"""),
    (
        "{s} earns a living as a {v}.",
        "Everyone knows {s} as a {v}.",
        "{s}, a {v}, is well known.",
        "The profession of {s} is {v}.",
        "{s} became a {v}.",
        "{s} works as a {v}.",
        "{s} is a {v}.",
        "By profession {s} is a {v}.",
        "{s} trained as a {v}.",
        "{s} has worked as a {v} for years.",
    ),
    (
        "What is {s}'s job?",
        "What is {s} by profession?",
        "What did {s} become?",
        "What kind of work does {s} do?",
        "As what does {s} work?",
        "What is the job of {s}?",
        "What does {s} do for a living?",
        "What does {s} work as?",
        "What is the profession of {s}?",
        "What job does {s} have?",
    ),
)
_BORN_IN = Fact(
    "{s} was born in {v}.",
    words.town,
    (
        "{s} is from {v}.",
        "{s} grew up in {v}.",
        "The home town of {s} is {v}.",
        "{s} was a child of {v}.",
        "{v} is the birthplace of {s}.",
        "{s} was born in {v}.",
        "{s} comes from {v}.",
        "The birthplace of {s} is {v}.",
        "Born in {v}, {s} had two sisters.",
        "{s} was born and raised in {v}.",
    ),
    (
        "Where is {s} from?",
        "What is the home town of {s}?",
        "Where did {s} grow up?",
        "Which town does {s} come from?",
        "What town was {s} born in?",
        "Where was {s} born?",
        "Where does {s} come from?",
        "In which town was {s} born?",
        "What is the birthplace of {s}?",
        "In which city was {s} born?",
    ),
)
_LIVES_IN = Fact(
    "{s} lives in {v}.",
    words.town,
    (
        "{s} has a flat in {v}.",
        "{s} settled in {v}.",
        "The house of {s} is in {v}.",
        "{s} resides in {v}.",
        "{s} has lived in {v} for years.",
        "{s} lives in {v}.",
        "Today {s} lives in {v}.",
        "{s} has moved to {v}.",
        "The home of {s} is in {v}.",
        "{s} now lives in {v}.",
    ),
    (
        "What is the current home of {s}?",
        "In what city does {s} live?",
        "Where is the home of {s}?",
        "What town does {s} live in?",
        "Where has {s} settled?",
        "Where does {s} live?",
        "Where does {s} live now?",
        "In which town does {s} live?",
        "Which city does {s} live in?",
        "In which city does {s} live?",
    ),
)
_HOBBY = Fact(
    "The hobby of {s} is {v}.",
    _listed("""
chess|sailing|cycling|climbing|painting|fishing|running|dancing|gardening|cooking|swimming
photography|reading|skiing|archery|knitting|birdwatching|surfing|rowing|pottery
"""),
    (
        "{s} is fond of {v}.",
        "{s} takes pleasure in {v}.",
        "After work {s} goes for {v}.",
        "{s} has a passion for {v}.",
        "The hobby of {s} is {v}.",
        "{s} enjoys {v}.",
        "In the free time {s} likes {v}.",
        "The favourite hobby of {s} is {v}.",
        "{s} spends weekends on {v}.",
        "{s} loves {v}.",
    ),
    (
        "What is {s} fond of?",
        "What does {s} do after work?",
        "What does {s} love?",
        "Which hobby does {s} have?",
        "What does {s} do in the free time?",
        "What does {s} enjoy?",
        "What is the hobby of {s}?",
        "What does {s} like to do?",
        "What is the favourite hobby of {s}?",
        "What hobby does {s} have?",
    ),
)
_LENGTH = Fact(
    "The length of {s} is {v}.",
    lambda draw: f"{draw.number(2, 900)} {draw.any_of(('metres', 'km', 'feet', 'miles'))}",
    (
        "{s} stretches over {v}.",
        "From end to end {s} measures {v}.",
        "With {v}, {s} is quite long.",
        "Length: {v}.",
        "{s} is {v} long.",
        "Its length is {v}.",
        "The length of {s} is {v}.",
        "It measures {v} in length.",
        "{s} has a length of {v}.",
    ),
    (
        "Over what length does {s} stretch?",
        "What is the total length of {s}?",
        "How far does {s} stretch?",
        "What does {s} measure?",
        "How long is {s}?",
        "What is the length of {s}?",
        "What is its length?",
        "What length does {s} have?",
        "How long is it?",
    ),
)
_OWNER = Fact(
    "The owner of {s} is {v}.",
    words.company,
    (
        "{s} is the property of {v}.",
        "{s} is in the hands of {v}.",
        "The company behind {s} is {v}.",
        "{v} bought {s}.",
        "{s} is run and owned by {v}.",
        "{s} belongs to {v}.",
        "The owner is {v}.",
        "{s} is owned by {v}.",
        "{v} owns {s}.",
        "The owner of {s} is {v}.",
    ),
    (
        "Which company is behind {s}?",
        "In whose hands is {s}?",
        "Whose property is {s}?",
        "What company owns {s}?",
        "Who owns {s}?",
        "Who is the owner of {s}?",
        "To whom does {s} belong?",
        "Which company owns {s}?",
        "Who is the owner?",
    ),
)
_MAKES = Fact(
    "{s} makes {v}.",
    lambda draw: words.product(draw) + "s",
    (
        "{s} builds {v}.",
        "{s} sells {v}.",
        "{s} specialises in {v}.",
        "Customers buy {v} from {s}.",
        "{s} manufactures {v}.",
        "{s} makes {v}.",
        "{s} produces {v}.",
        "The company sells {v}.",
        "{s} is known for its {v}.",
        "The main product of {s} is {v}.",
    ),
    (
        "What does {s} sell?",
        "What does {s} build?",
        "What do customers buy from {s}?",
        "In what does {s} specialise?",
        "What products does {s} make?",
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
