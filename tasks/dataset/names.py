"""What a column's name says about it. A name decides nothing alone: it counts where the values allow it.

Words are found in `snake_case`, `camelCase`, `With Spaces` and `customerid` alike, whatever their case.
"""

from __future__ import annotations

import re


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


ID = _set("id ids uid uuid guid pk key nbr nr no identifier ref reference sku ssn email iban vin isbn hash")
ID_SUFFIXES = ("number", "num")
COUNTERS = _set("index idx rownum rowname rownames row unnamed instant serial sno sr recnum obs")
# who or what a row is about: their rows resemble each other, so they belong in one part of a split
ENTITIES = _set(
    """
    patient customer cust client user member subject person participant household family student pupil employee
    worker account owner player driver rider passenger donor applicant borrower policy policyholder device
    machine engine unit vehicle sensor session visitor card order invoice encounter transaction loan
    respondent mother child
    """
)
# integers under these names are labels: 3 is not more than 2
CODES = _set(
    """
    code type category cat zip zipcode postal postcode store shop branch region district zone cluster
    segment season weather weathersit status channel source gender sex race ethnicity ethnic marital
    product department dept plan sector industry occupation job country state city county soil wilderness
    kind group shift terminal route lane browser os platform campaign disposition diagnosis religion
    language currency brand make material color colour method mode location site station warehouse vendor
    supplier manufacturer carrier ward precinct species variety origin
    """
)
# integers under these names are amounts or have an order that trees use as it is
AMOUNTS = _set(
    """
    count cnt n total sum amount quantity qty price cost fee income salary wage revenue sales age year
    years yr day days hour hours hr minute minutes min month months mnth week weeks weekday dayofweek
    quarter rate ratio percent pct score rating rank grade level size length width height weight depth
    area distance duration time temp temperature balance bedrooms bathrooms rooms floors children kids
    dependents visits points stars stage degree pressure quality number num value
    """
)
# sets of names to which the world adds new ones
OPEN = _set(
    """
    carrier airline origin dest destination airport store shop branch product item brand model make
    manufacturer supplier vendor country city state county region neighborhood neighbourhood district
    campaign browser os platform version code diagnosis diag medication drug specialty occupation job
    profession school team club name title zip station site location zone agent user source channel reason
    tariff plan dept department provider company firm street address route material
    """
)
SIGNED = _set(
    """
    temp temperature atemp dewp dew dewpoint lat latitude lon lng long longitude change delta diff
    difference balance profit margin net growth return returns residual error offset elevation altitude
    coordinate log logit zscore delay x y z trend deviation yield
    """
)
EVENT = _set(
    """
    date time timestamp datetime day dteday dt ts month week period created opened start started ordered
    recorded observed measured pickup event visit admission admitted issued issue sold sale purchase
    transaction reported at when hour year
    """
)
AFTERWARDS = _set(
    """
    birth born dob birthday hire hired expiry expires expiration expire due end ended closed close
    delivered delivery return returned death died resolution resolved updated modified last next maturity
    retirement discharge discharged dropoff completed finish finished cancelled canceled arrival
    """
)
# who or what has rows of its own although no "id" says so: films, shops, articles
THINGS = _set(
    """
    film movie book song artist album track article item sku product merchant store shop seller buyer vendor hotel
    restaurant recipe video author course listing patient subject customer user participant person household
    respondent client member
    """
)
# kinds of things: an id of one of these is a code among few, not of an entity that comes back
KINDS = _set(
    """
    type kind class category cat status source disposition segment group method mode level reason stage season grade
    """
)
PEOPLE = _set("patient subject customer user participant person household respondent client member")
# a column of this name follows time, so that a file which it sorts is in time order
CLOCK = _set(
    """
    date time timestamp datetime day dteday dt ts month mon mnth week weekday period year yr quarter season hour
    hr t of
    """
)
HOURS = _set("hour hr")
YEARS = _set("year years yr")
_BREAK = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)")


def words(name: str) -> tuple[str, ...]:
    """`name` in lower-case words: `customerID` -> ('customer', 'id')."""
    found = [word.lower() for word in _BREAK.split(name) if word]
    if len(found) == 1 and found[0].endswith("id") and found[0][:-2] in ENTITIES | OPEN | CODES:
        return found[0][:-2], "id"
    return tuple(found)


def is_id(name: str) -> bool:
    """Whether the name says that its values identify a person or thing."""
    found = words(name)
    return bool(found) and (
        found[-1] in ID
        or (len(found) > 1 and found[-1] in ID_SUFFIXES and bool(ENTITIES & set(found[:-1])))
        or (len(found) > 1 and found[0] == "id")
    )


def is_counter(name: str) -> bool:
    """Whether the name says that its values count the rows of a file."""
    return bool(COUNTERS & set(words(name))) or not words(name)


def is_entity(name: str) -> bool:
    """Whether the name is an id of someone or something that may come back in other rows."""
    return is_id(name) and bool(ENTITIES & set(words(name)))


def comes_back(name: str) -> bool:
    """Whether the column names someone or something that may come back in other rows."""
    found = set(words(name))
    return is_entity(name) or (bool(found) and found <= PEOPLE)


def is_thing(name: str) -> bool:
    """Whether the column says who or what its row is about, by an id or by itself, and not of which kind that is."""
    found = set(words(name))
    return (is_id(name) or (bool(found) and found <= THINGS)) and not found & KINDS


def is_code(name: str) -> bool:
    """Whether whole numbers under this name are labels and not amounts."""
    found = set(words(name))
    return bool(found & CODES or is_id(name)) and not found & AMOUNTS


def is_amount(name: str) -> bool:
    """Whether whole numbers under this name measure, count or rank something."""
    return bool(set(words(name)) & AMOUNTS)


def is_open(name: str) -> bool:
    """Whether the world keeps adding to the names in such a column."""
    return bool(set(words(name)) & (OPEN | THINGS)) or is_id(name)


def may_be_negative(name: str) -> bool:
    """Whether values under this name may fall below zero although none has yet."""
    return bool(set(words(name)) & SIGNED)


def is_year(name: str) -> bool:
    """Whether the values go on by themselves, as years do."""
    return bool(set(words(name)) & YEARS)


def is_clock(name: str) -> bool:
    """Whether the name is that of a time and of nothing else: a year, but not the year in which a house was built."""
    found = set(words(name))
    return bool(found) and found <= CLOCK


def event_time(name: str) -> int:
    """Whether a date under this name says when its row came to be: 2 it does, 1 it may, 0 it does not."""
    found = set(words(name))
    if found & AFTERWARDS:
        return 0
    return 2 if found & EVENT else 1


def safe(text: str) -> str:
    """A pipeline's name out of any text: lower-case letters, digits, `-`, `_`; never empty."""
    name = re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_-")[:60].strip("_-")
    return name or "pipeline"
