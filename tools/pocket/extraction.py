"""Fields from a short text, as a JSON object with the keys the prompt names."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tools.pocket import words
from tools.pocket.draw import Draw, Example, Turn

Value: TypeAlias = str | int | None


@dataclass(frozen=True, slots=True)
class Field:
    """Something a text may state: the keys a prompt may call it by, and how to make a value."""

    keys: tuple[str, ...]
    make: Callable[[Draw], str]
    whole_number: bool = False


@dataclass(frozen=True, slots=True)
class Domain:
    """A kind of text: its fields, and groups of sentences of which each text takes one apiece."""

    fields: dict[str, Field]
    sentences: tuple[tuple[str, ...], ...]


def _product_name(draw: Draw) -> str:
    return f"{words.colour(draw)} {words.product(draw)}" if draw.chance(0.2) else words.product(draw)


_NAME = Field(("name", "full_name", "person"), words.person)
_EMAIL = Field(("email", "email_address", "mail"), lambda draw: words.email(draw, words.person(draw)))
_PHONE = Field(("phone", "phone_number", "telephone", "tel"), words.phone)
_COMPANY = Field(("company", "company_name", "organisation", "employer"), words.company)
_CITY = Field(("city", "town", "location"), words.town)
_DATE = Field(("date", "day"), words.date)
_PRICE = Field(("price", "cost", "amount"), words.price)
_JOBS = words.listed("""
sales manager|software engineer|nurse|accountant|project lead|designer|buyer|head of support
data analyst|teacher|electrician|chief editor|warehouse manager|intern|research assistant|lawyer
marketing director|chef|translator|HR manager|product owner|technician|consultant|architect
office manager
""")
_ROLE = Field(("role", "job_title", "position", "title"), lambda draw: words.sometimes_made_up(draw, _JOBS))

_PROBLEMS = words.listed("""
does not start|makes a loud noise|leaks water|has a cracked screen|will not charge|smells burnt
arrived without a cable|loses its connection|turns off after a minute|is missing a screw
shows error 42|gets too hot|blinks red|is stuck|does not close|lost its colour|will not turn on
has a broken handle
""")
_EVENTS = words.listed("""
Workshop|Conference|Concert|Book Fair|Summit|Festival|Lecture|Meetup|Seminar|Exhibition|Open Day
Quiz Night|Hackathon|Training
""")
_VENUES = words.listed("""
Hall|Centre|Library|Park|Museum|Hotel|Theatre|Room|Campus|Arena|Church|Gallery|School
""")


def _event(draw: Draw) -> str:
    article = "the " if draw.chance(0.3) else ""
    return f"{article}{draw.made_up(words.pseudo_name)} {words.sometimes_made_up(draw, _EVENTS)}"


def _venue(draw: Draw) -> str:
    return f"{draw.made_up(words.pseudo_name)} {words.sometimes_made_up(draw, _VENUES)}"


_DOMAINS = (
    Domain(
        {
            "order": Field(("order_number", "order_id", "order", "order_no"), words.code),
            "customer": Field(("customer", "customer_name", "name", "buyer"), words.person),
            "product": Field(("product", "item", "product_name", "article"), _product_name),
            "quantity": Field(("quantity", "qty", "units"), words.count, whole_number=True),
            "total": Field(("total", "total_price", "amount", "price"), words.price),
            "city": Field(("city", "ship_to", "destination", "delivery_city"), words.town),
            "date": Field(("delivery_date", "date", "arrival", "ship_date"), words.date),
        },
        (
            (
                "Order {order}, customer {customer}.",
                "Your order {order} has been placed, {customer}.",
                "{customer}, your order with number {order} is on its way.",
                "New order {order} from {customer}.",
                "We thank {customer} for order {order}.",
                "Order number: {order}, customer: {customer}.",
                "Good news, {customer}: order {order} has shipped!",
                "Thanks for shopping with us, {customer}. Your order {order} was received.",
                "Dear {customer}, thank you for your order {order}.",
                "Hi {customer}, we have received order {order}.",
                "Order {order} is confirmed for {customer}.",
                "Thank you, {customer}! Your order number is {order}.",
                "Hello {customer}. This confirms order no. {order}.",
                "{customer} placed order {order} with us.",
                "Order confirmation {order} for {customer}.",
            ),
            (
                "{quantity} x {product}.",
                "{product} x {quantity}.",
                "Contents: {product}, quantity: {quantity}.",
                "You will receive {quantity} of the {product}.",
                "Ordered: {quantity} units of {product}.",
                "We send you {quantity} pieces: {product}.",
                "In the box: {quantity} {product}.",
                "Product {product}, number of units {quantity}.",
                "You bought {quantity} x {product}.",
                "Items: {quantity} {product}.",
                "Your basket: {product} (quantity {quantity}).",
                "It contains {quantity} pieces of the {product}.",
                "We are packing your {product}, {quantity} units.",
                "Article: {product}. Quantity: {quantity}.",
                "You ordered the {product}, {quantity} in total.",
            ),
            (
                "Sum: {total}.",
                "Total price {total}.",
                "It costs {total} in total.",
                "We received your payment of {total}.",
                "Paid: {total}.",
                "The price is {total}.",
                "Altogether that makes {total}.",
                "The total is {total}.",
                "Total: {total}.",
                "We charged {total} to your card.",
                "Amount due: {total}.",
                "You paid {total}.",
                "The total amount comes to {total}.",
            ),
            (
                "We ship to {city}, arrival {date}.",
                "It will be in {city} on {date}.",
                "Destination: {city}, date: {date}.",
                "Delivery address: {city}. Delivery date: {date}.",
                "On {date} it arrives in {city}.",
                "The courier comes to {city} on {date}.",
                "Shipping to {city}, expected {date}.",
                "It ships to {city} and arrives on {date}.",
                "Delivery to {city} by {date}.",
                "Expected delivery in {city}: {date}.",
                "Your parcel will reach {city} on {date}.",
                "We deliver to {city} on {date}.",
                "Arrival in {city} is planned for {date}.",
            ),
        ),
    ),
    Domain(
        {"name": _NAME, "role": _ROLE, "company": _COMPANY, "email": _EMAIL, "phone": _PHONE, "city": _CITY},
        (
            (
                "Name: {name}, position: {role}, company: {company}.",
                "{role} {name}, {company}.",
                "{company}: {name}, {role}.",
                "Hello, I am {name}, {role} at {company}.",
                "This is {name} from {company}. I am the {role}.",
                "{name} joined {company} as {role}.",
                "The {role} of {company} is {name}.",
                "{name} is the {role} at {company}.",
                "Sincerely, {name} ({role}), {company}",
                "{name}, {role} at {company}.",
                "{name} works as {role} for {company}.",
                "My name is {name} and I am {role} at {company}.",
                "{name} | {role} | {company}",
                "Our contact is {name} ({role}, {company}).",
                "Please meet {name}, the new {role} of {company}.",
                "Best regards, {name}, {role}, {company}",
                "I spoke with {name} from {company}, who is {role} there.",
            ),
            (
                "Call me at {phone} or send a mail to {email}.",
                "{phone}, {email}",
                "Phone {phone} | Email {email}",
                "Reach us under {phone} or {email}.",
                "My number is {phone}, my email {email}.",
                "Please use {email} or the phone number {phone}.",
                "You can write to {email} and call {phone}.",
                "T: {phone}, E: {email}",
                "Email: {email}, phone: {phone}.",
                "Write to {email} or call {phone}.",
                "You can reach me at {email} or {phone}.",
                "Tel. {phone}, {email}.",
                "{email} / {phone}",
                "The phone number is {phone} and the email is {email}.",
                "Contact: {phone} or {email}.",
                "Mail {email}, telephone {phone}.",
            ),
            (
                "We work from {city}.",
                "My office is in {city}.",
                "Visit us in {city}.",
                "Home: {city}.",
                "I live in {city}.",
                "Town: {city}.",
                "Find us in {city}.",
                "Based in {city}.",
                "The office is in {city}.",
                "Lives in {city}.",
                "Location: {city}.",
                "We are located in {city}.",
                "City: {city}.",
            ),
        ),
    ),
    Domain(
        {
            "product": Field(("product", "name", "title", "item"), words.product),
            "brand": Field(("brand", "manufacturer", "maker"), words.brand),
            "price": _PRICE,
            "colour": Field(("colour", "color"), words.colour),
            "material": Field(("material", "made_of"), words.material),
            "size": Field(("size", "dimensions"), words.size),
            "weight": Field(("weight",), words.weight),
        },
        (
            (
                "{product} from {brand} at {price}.",
                "{brand} presents the {product} for {price}.",
                "Today only: {brand} {product}, {price}.",
                "Product: {product}. Brand: {brand}. Price: {price}.",
                "Buy the {product} by {brand} for {price}.",
                "The {product} made by {brand} sells for {price}.",
                "A {product} of the brand {brand} costs {price}.",
                "The {brand} {product} is {price}.",
                "{brand} {product} for {price}.",
                "For sale: {product} by {brand}, {price}.",
                "The {brand} {product} costs {price}.",
                "New: the {product} from {brand}, only {price}.",
                "{product}, brand {brand}, price {price}.",
                "{brand} {product}. Price: {price}.",
                "Get the {brand} {product} now for {price}!",
            ),
            (
                "{colour}, made of {material}.",
                "{material}, {colour}.",
                "In {colour}, from {material}.",
                "It comes in {colour} and is made from {material}.",
                "Built from {material} in {colour}.",
                "Comes in {colour}. Made from {material}.",
                "Colour {colour}, material {material}.",
                "Made of {material}, colour {colour}.",
                "It is made of {material} and comes in {colour}.",
                "Colour: {colour}. Material: {material}.",
                "Available in {colour}, crafted from {material}.",
                "Body in {colour} {material}.",
                "The material is {material}, the colour is {colour}.",
            ),
            (
                "{size}, {weight}.",
                "Dimensions {size}, weight {weight}.",
                "It is {size} and has a weight of {weight}.",
                "It weighs only {weight} and its size is {size}.",
                "Weight: {weight}, size: {size}.",
                "Measures {size}, weighs {weight}.",
                "Size {size}, weight {weight}.",
                "It measures {size} and weighs {weight}.",
                "Size: {size}. Weight: {weight}.",
                "Weighs {weight}. Size: {size}.",
                "The size is {size} and the weight is {weight}.",
            ),
        ),
    ),
    Domain(
        {
            "event": Field(("event", "title", "name", "event_name"), _event),
            "date": _DATE,
            "time": Field(("time", "start_time", "start"), words.clock_time),
            "venue": Field(("venue", "place", "location"), _venue),
            "city": Field(("city", "town"), words.town),
            "speaker": Field(("speaker", "host", "presenter"), words.person),
            "price": Field(("ticket_price", "price", "fee", "entry"), words.price),
        },
        (
            (
                "{event}: {date}, {time}.",
                "Come to {event} on {date} at {time}.",
                "{event} is on {date} and starts at {time}.",
                "On {date} {event} begins at {time}.",
                "Do not miss {event} on {date}, starting {time}.",
                "{date}, {time}: {event}.",
                "Event: {event}. Date: {date}. Time: {time}.",
                "{event} takes place on {date} at {time}.",
                "Join us for {event} on {date} at {time}.",
                "{event} takes place on {date}, {time}.",
                "Invitation: {event}, {date}, {time}.",
                "{event} starts at {time} on {date}.",
                "Save the date: {event}, {date} at {time}.",
                "On {date} at {time} we open {event}.",
            ),
            (
                "Location: {venue}, {city}.",
                "{venue}, {city}.",
                "In {city}, at {venue}.",
                "See you at {venue} in {city}.",
                "The place is {venue} in {city}.",
                "It takes place in {city} at {venue}.",
                "Find us in {city}: {venue}.",
                "Venue: {venue}, {city}.",
                "The venue is {venue} in {city}.",
                "We meet at {venue} in {city}.",
                "It is held at {venue}, {city}.",
                "Place: {venue} ({city}).",
                "Come to {venue} in {city}.",
            ),
            (
                "{speaker} is the host. The ticket is {price}.",
                "Presented by {speaker}. Entry costs {price}.",
                "Meet {speaker}. Admission {price}.",
                "Talk by {speaker}, fee {price}.",
                "Tickets: {price}. Host: {speaker}.",
                "Entry is {price}. {speaker} is speaking.",
                "{speaker} will speak. Tickets cost {price}.",
                "Speaker: {speaker}. Entry: {price}.",
                "Hosted by {speaker}, tickets {price}.",
                "Our speaker is {speaker}; the entry fee is {price}.",
                "With {speaker}. Ticket price: {price}.",
            ),
        ),
    ),
    Domain(
        {
            "passenger": Field(("passenger", "name", "traveller", "passenger_name"), words.person),
            "number": Field(("flight", "flight_number", "train"), words.code),
            "from": Field(("from", "origin", "departure_city"), words.town),
            "to": Field(("to", "destination", "arrival_city"), words.town),
            "date": Field(("date", "travel_date", "departure_date"), words.date),
            "time": Field(("time", "departure_time"), words.clock_time),
            "seat": Field(
                ("seat", "seat_number"), lambda draw: f"{draw.number(1, 60)}{draw.any_of('ABCDEF')}"
            ),
        },
        (
            (
                "{from} to {to}, {number}, {passenger}.",
                "{passenger}: {from} - {to}, {number}.",
                "{number} takes {passenger} from {from} to {to}.",
                "Traveller: {passenger}. From: {from}. To: {to}. Number: {number}.",
                "{number} goes from {from} to {to}. Passenger name: {passenger}.",
                "{passenger} flies from {from} to {to} on flight {number}.",
                "Confirmed for {passenger}: {from} to {to} with {number}.",
                "{passenger} is booked on {number} to {to} from {from}.",
                "Booking for {passenger}: {number} from {from} to {to}.",
                "{passenger} travels from {from} to {to} on {number}.",
                "Passenger {passenger}, {number}, {from} to {to}.",
                "Dear {passenger}, your trip {number} takes you from {from} to {to}.",
                "Ticket: {passenger}. Connection {number}, {from} - {to}.",
                "{number} {from} to {to}, passenger: {passenger}.",
            ),
            (
                "Seat {seat}, {date}, {time}.",
                "Leaving at {time} on {date}. Seat {seat}.",
                "On {date} at {time} you depart; seat {seat} is yours.",
                "{date} {time}, seat number {seat}.",
                "Depart: {date} {time}. Seat: {seat}.",
                "Your seat number is {seat}; departure is on {date} at {time}.",
                "We have seat {seat} for you on {date} at {time}.",
                "Departure {date} at {time}, seat {seat}.",
                "It leaves on {date} at {time}. Seat: {seat}.",
                "Your seat is {seat}. Departure: {date}, {time}.",
                "Date {date}, time {time}, seat {seat}.",
                "You sit in {seat} and leave at {time} on {date}.",
            ),
        ),
    ),
    Domain(
        {
            "number": Field(("invoice_number", "invoice", "invoice_id", "number"), words.code),
            "vendor": Field(("vendor", "supplier", "seller", "company"), words.company),
            "customer": Field(("customer", "client", "bill_to", "recipient"), words.person),
            "amount": Field(("amount", "total", "amount_due", "sum"), words.price),
            "date": Field(("due_date", "due", "date", "payment_date"), words.date),
        },
        (
            (
                "{vendor}, invoice {number}, for {customer}.",
                "Invoice number {number}, issued by {vendor}, client {customer}.",
                "Dear {customer}, here is invoice {number} from {vendor}.",
                "{vendor} has billed {customer}, see invoice {number}.",
                "To {customer}: invoice {number}, seller {vendor}.",
                "From {vendor} to {customer}, invoice {number}.",
                "This is invoice {number} of {vendor} for {customer}.",
                "Invoice {number} from {vendor} to {customer}.",
                "{vendor} sent invoice {number} to {customer}.",
                "Invoice no. {number}. Supplier: {vendor}. Client: {customer}.",
                "{customer} received invoice {number} from {vendor}.",
                "Bill {number}: {vendor} bills {customer}.",
            ),
            (
                "Pay {amount} before {date}.",
                "{amount} due {date}.",
                "You owe {amount}; it is due on {date}.",
                "Until {date} please transfer {amount}.",
                "Total amount: {amount}. Payment date: {date}.",
                "Kindly pay {amount} on or before {date}.",
                "The amount is {amount} and the due date is {date}.",
                "Amount due: {amount}, payable by {date}.",
                "Please pay {amount} by {date}.",
                "The sum of {amount} is due on {date}.",
                "Due {date}: {amount}.",
                "Total {amount}. Due date {date}.",
                "Payment of {amount} is expected until {date}.",
            ),
        ),
    ),
    Domain(
        {
            "ticket": Field(("ticket", "ticket_id", "case", "ticket_number"), words.code),
            "customer": Field(("customer", "name", "user", "reporter"), words.person),
            "device": Field(
                ("device", "product", "item"), lambda draw: f"{words.brand(draw)} {words.product(draw)}"
            ),
            "problem": Field(("problem", "issue", "fault"), lambda draw: draw.one_of(_PROBLEMS)),
            "date": Field(("purchase_date", "date", "bought"), words.date),
        },
        (
            (
                "{customer} wrote: my {device} {problem}. Ticket {ticket}.",
                "Ticket no. {ticket}: the {device} of {customer} {problem}.",
                "The {device} {problem}, says {customer}. Case {ticket}.",
                "{ticket}: {customer} has a {device} that {problem}.",
                "Customer {customer}, ticket {ticket}, says that the {device} {problem}.",
                "In ticket {ticket} {customer} complains that the {device} {problem}.",
                "Ticket {ticket}: {customer} reports that the {device} {problem}.",
                "{customer} (ticket {ticket}) says the {device} {problem}.",
                "Case {ticket} opened by {customer}. The {device} {problem}.",
                "Hello, this is {customer}, ticket {ticket}. My {device} {problem}.",
                "Support ticket {ticket}, user {customer}: {device} {problem}.",
            ),
            (
                "Purchased {date}.",
                "The customer bought it on {date}.",
                "I bought it on {date}.",
                "Date of purchase: {date}.",
                "Sold on {date}.",
                "Bought on {date}.",
                "It was purchased on {date}.",
                "Purchase date: {date}.",
                "The date of purchase is {date}.",
            ),
        ),
    ),
    Domain(
        {
            "title": _ROLE,
            "company": _COMPANY,
            "city": _CITY,
            "salary": Field(("salary", "pay", "wage"), words.price),
            "contact": Field(
                ("contact", "contact_email", "email"), lambda draw: words.email(draw, words.person(draw))
            ),
            "start": Field(("start_date", "start", "from"), words.date),
        },
        (
            (
                "{company} needs a {title} in {city}.",
                "New job in {city}: {company} seeks a {title}.",
                "Become {title} at {company} in {city}!",
                "{title} in {city} at {company}.",
                "Vacancy: {title}, {company}, {city}.",
                "Work as {title} for {company} in {city}.",
                "In {city}, {company} has a position as {title}.",
                "{company} is looking for a {title} in {city}.",
                "Job: {title} at {company}, {city}.",
                "We at {company} hire a {title} for our {city} office.",
                "{title} wanted! {company}, {city}.",
                "Open position in {city}: {title} ({company}).",
            ),
            (
                "Pay: {salary}. Start date: {start}.",
                "You earn {salary} from {start}.",
                "You start on {start} and earn {salary}.",
                "From {start}, for {salary}.",
                "The pay is {salary}, the start date {start}.",
                "Wage {salary}, beginning {start}.",
                "Salary {salary}, start {start}.",
                "We pay {salary}; you begin on {start}.",
                "Starting {start}, salary {salary}.",
                "The salary is {salary} and work starts on {start}.",
            ),
            (
                "Write to {contact}.",
                "Interested? Mail {contact}.",
                "Apply by email to {contact}.",
                "Contact us at {contact}.",
                "Questions and applications: {contact}.",
                "Apply at {contact}.",
                "Send your CV to {contact}.",
                "Contact: {contact}.",
                "Applications to {contact}, please.",
            ),
        ),
    ),
)

_INSTRUCTIONS = (
    "{text}\n\nExtract {keys} as JSON.",
    "Extract {keys} as JSON: {text}",
    "Extract {keys} as JSON.\n\n{text}",
    "Extract {keys} from the text below. Answer in JSON.\n\n{text}",
    "Return JSON with the keys {keys}.\n\n{text}",
    "JSON with {keys}, please: {text}",
    "{text}\n\nReturn {keys} as a JSON object.",
    "Extract the {keys} as JSON.\n\n{text}",
    "Extract these fields from the message: {keys}. Use JSON.\n{text}",
    "What are the {keys}? Give JSON.\n\n{text}",
    "Identify {keys} in the text and write JSON.\n\nText: {text}",
    "Text:\n{text}\n\nExtract as JSON: {keys}",
    "{text}\nGive {keys} in JSON.",
    "Extract the information as JSON with the keys {keys}.\n\n{text}",
    "Extract the information below into {skeleton}\n\n{text}",
    "Pull out {keys} as JSON: {text}",
    "Please extract {keys} in JSON format from: {text}",
    "Make a JSON object with the fields {keys} from this: {text}",
    "Extract {keys} from the text as JSON.\n\n{text}",
    "Extract the following fields as JSON: {keys}.\n\nText: {text}",
    "Return a JSON object with the keys {keys} for this text:\n{text}",
    "{text}\n\nExtract {keys} from the text above. Answer in JSON.",
    "Give me {keys} as JSON.\n\n{text}",
    "Text: {text}\n\nFields: {keys}\n\nJSON:",
    "Read the text and fill in this JSON: {skeleton}\n\n{text}",
    "From the message below, extract {keys} and return only JSON.\n\nMessage: {text}",
    "Parse this into JSON with the fields {keys}: {text}",
    "Extract {keys}. Output JSON only.\n{text}",
    'Convert the text to JSON. Use the keys {keys}.\n\n"{text}"',
    "{text}\n\nReturn JSON in this form: {skeleton}",
    "Find these fields and answer with a JSON object:\n{bullets}\n\nText:\n{text}",
    "Which {keys} does the text mention? Reply as JSON.\n\n{text}",
    "Turn the following into a JSON object with {keys}.\n\n{text}",
    "Extract data from the text.\nFields:\n{bullets}\nText: {text}",
    "Extract the {keys} from this text as JSON: {text}",
    "Please extract the fields {keys} from the text below as a JSON object.\n\n{text}",
    "Extract {keys} from the following text and return them as JSON.\n\nText: {text}",
    "Fill this JSON from the text: {skeleton}\nText: {text}",
    "Get {keys} from this text. JSON only, no explanation.\n\n{text}",
)

_SYSTEM_INSTRUCTIONS = (
    "Extract {keys} from every message as JSON.",
    "You extract data. Reply with a JSON object with the keys {keys}.",
    "Return only JSON with the fields {keys}.",
    "For each text, output JSON: {skeleton}",
    "You are an extraction service. Answer in JSON with {keys}.",
)


def extraction_example(draw: Draw) -> Example:
    """A text that states some fields, and the object with those the prompt asks for."""
    domain = draw.any_of(_DOMAINS)
    values = {name: field.make(draw) for name, field in domain.fields.items()}
    text, stated = _layout(draw, domain, values) if draw.chance(0.2) else _prose(draw, domain, values)
    asked = draw.shuffled(stated)[: draw.any_of((1, 2, 2, 3, 3, 4, 5))]
    if draw.chance(0.5):
        asked.sort(key=list(domain.fields).index)
    unstated = [name for name in domain.fields if name not in stated]
    if unstated and draw.chance(0.15):
        asked.insert(draw.number(0, len(asked)), draw.any_of(unstated))
    answer: dict[str, Value] = {}
    for name in asked:
        field = domain.fields[name]
        value: Value = None
        if name in stated:
            value = int(values[name]) if field.whole_number else values[name]
        free_keys = [key for key in field.keys if key not in answer]
        answer[draw.any_of(free_keys)] = value
    return Example(
        "extraction", (*_ask(draw, text, list(answer)), Turn("model", json.dumps(answer, ensure_ascii=False)))
    )


def _ask(draw: Draw, text: str, keys: list[str]) -> tuple[Turn, ...]:
    slots = {
        "keys": _spell_keys(draw, keys),
        "skeleton": json.dumps({key: draw.any_of(("", "")) for key in keys}),
        "bullets": "\n".join(f"- {key}" for key in keys),
        "text": text,
    }
    if draw.chance(0.12):
        return Turn("system", _fill(draw.phrasing_of(_SYSTEM_INSTRUCTIONS), slots)), Turn("user", text)
    return (Turn("user", _fill(draw.phrasing_of(_INSTRUCTIONS), slots)),)


def _spell_keys(draw: Draw, keys: list[str]) -> str:
    quote = draw.any_of(("", "", "", "`", '"'))
    quoted = [f"{quote}{key}{quote}" for key in keys]
    if len(quoted) == 1 or draw.chance(0.4):
        return ", ".join(quoted)
    return ", ".join(quoted[:-1]) + draw.any_of((" and ", " and ", ", and ")) + quoted[-1]


def _prose(draw: Draw, domain: Domain, values: dict[str, str]) -> tuple[str, list[str]]:
    """Sentences that state fields, sometimes with an irrelevant one; and the fields' names."""
    groups = list(domain.sentences)
    if draw.chance(0.3):
        groups.pop(draw.number(0, len(groups) - 1))
    if draw.chance(0.3):
        groups = draw.shuffled(groups)
    templates = [draw.phrasing_of(group) for group in groups]
    stated = [name for name in domain.fields if any("{" + name + "}" in template for template in templates)]
    sentences = [_fill(template, values) for template in templates]
    if draw.chance(0.2):
        sentences.insert(draw.number(0, len(sentences)), draw.phrasing_of(_ASIDES))
    return draw.any_of((" ", " ", " ", "\n")).join(sentences), stated


_ASIDES = (
    "Have a nice day!",
    "Thank you for your trust.",
    "Please let us know if you have any questions.",
    "This is an automatic message.",
    "We look forward to seeing you.",
    "See you soon.",
)


def _layout(draw: Draw, domain: Domain, values: dict[str, str]) -> tuple[str, list[str]]:
    """The same facts as labelled lines; and the fields' names."""
    stated = draw.shuffled(list(domain.fields))[: draw.number(2, len(domain.fields))]
    colon, newline = draw.any_of(((": ", "\n"), (": ", "; "), (" = ", "\n"), (": ", ", "), (": ", " | ")))
    labels = {name: draw.any_of(domain.fields[name].keys).replace("_", " ") for name in stated}
    capital = draw.chance(0.7)
    lines = [
        f"{labels[name].capitalize() if capital else labels[name]}{colon}{values[name]}" for name in stated
    ]
    return newline.join(lines), stated


def _fill(template: str, slots: dict[str, str]) -> str:
    for slot, word in slots.items():
        template = template.replace("{" + slot + "}", word)
    return template
