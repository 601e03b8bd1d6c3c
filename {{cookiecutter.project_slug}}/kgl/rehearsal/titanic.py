"""A sample contest with the shape of Kaggle's Titanic: made-up people, made from a seed, nobody who was really aboard.

Class, sex, age group and survival follow the published table of those aboard (British Board of Trade, 1912; the data
set "Titanic" of R) without the crew. Names, tickets, fares and cabins are invented. Families share surname, ticket and
fare, and mostly the fate of their women and children: what helps with the real data helps here as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from kgl.rehearsal.contest import PracticeContest, as_csv, make_contest

TABLE = {  # class, male, child: (died, survived); 1316 passengers
    (1, True, True): (0, 5), (1, True, False): (118, 57), (1, False, True): (0, 1), (1, False, False): (4, 140),
    (2, True, True): (0, 11), (2, True, False): (154, 14), (2, False, True): (0, 13), (2, False, False): (13, 80),
    (3, True, True): (35, 13), (3, True, False): (387, 75), (3, False, True): (17, 14), (3, False, False): (89, 76),
}  # fmt: skip
FACTS = 'slug = "titanic"\nkind = "tabular"\n'  # the rest is for `kgl init`
COLUMNS = ["PassengerId", "Survived", "Pclass", "Name", "Sex", "Age"]
COLUMNS += ["SibSp", "Parch", "Ticket", "Fare", "Cabin", "Embarked"]
TRAIN, TEST = 891, 418
FATE = 0.95  # how often somebody in a party shares its fate, where the table has such people left
COUPLES = {1: 0.4, 2: 0.25, 3: 0.12}  # part of the women without children who travel with their husbands
COMPANIONS = {1: 0.12, 2: 0.12, 3: 0.09}  # part of the other parties that are two or three people
ADULT_AGE = {1: (40, 13), 2: (31, 11), 3: (27, 9)}  # years: mean, standard deviation
AGE_KNOWN = {1: 0.86, 2: 0.94, 3: 0.71}
CABIN_KNOWN = {1: 0.79, 2: 0.08, 3: 0.02}
DECKS = {1: "ABBCCCDE", 2: "DEFF", 3: "EFG"}
FARE = {1: 27.0, 2: 12.0, 3: 7.8}  # a head; children pay half
PORTS = {1: (0.55, 0.44, 0.01), 2: (0.88, 0.1, 0.02), 3: (0.8, 0.12, 0.08)}  # S, C, Q
LUCKY_PORTS = PORTS | {3: (0.5, 0.17, 0.33)}  # of women and children who lived: in the third class few came from S
STARTS = "Abber Bracka Clove Dunner Eldri Fosker Granne Hesla Ivers Jorra Kelda Lommer Marro Nesker Odder Pinch Quill"
ENDS = "acre bane brook croft dale dine feld gard gate grave hythe kamp lade lowe mere mond neth pole quist reth rud"
STARTS += " Ruska Sallow Tarno Umber Voska Wether Yelda Zella Arken Bello Corva Drummo Esker Farro Gildo Hollo Inver"
ENDS += " shaw stad stow thorn tun vane vik wain wald ware wick wold wyn yard"
MEN = "Adrian Basil Conrad Douglas Emil Felix Gustav Hector Ivan Julian Kurt Lionel Magnus Nils Oscar Paul"
WOMEN = "Ada Beatrix Clara Dagmar Edith Flora Greta Hilda Ingrid Julia Karin Lucy Mabel Nora Olga Petra"


@dataclass(eq=False)
class Person:
    """One passenger: what the table says, and the row that is made up for it."""

    male: bool
    child: bool
    survived: bool
    row: dict[str, object] = field(default_factory=dict)


@dataclass
class Party:
    """People on one ticket: parents and children, brothers and sisters, or companions with their own surnames."""

    parents: list[Person]
    others: list[Person]
    related: bool = True


def sample_contest(seed: int = 1908) -> PracticeContest:
    """The contest "titanic (sample)": files, hidden labels with a public and a private half, other teams' scores."""
    rng = np.random.default_rng(seed)
    rows = _passengers(rng)
    train, test = rows[:TRAIN], rows[TRAIN:]
    women_live = [row | {"Survived": int(row["Sex"] == "female")} for row in test]
    files = {
        "gender_submission.csv": _csv(COLUMNS[:2], women_live),
        "test.csv": _csv([name for name in COLUMNS if name != "Survived"], test),
        "train.csv": _csv(COLUMNS, train),
    }
    labels = {str(row["PassengerId"]): str(row["Survived"]) for row in test}
    return make_contest("titanic", files, labels, ("PassengerId", "Survived"), 0.77, rng)


def _csv(columns: list[str], rows: list[dict[str, object]]) -> bytes:
    return as_csv(columns, [[row[name] for name in columns] for row in rows])


def _passengers(rng: np.random.Generator) -> list[dict[str, object]]:
    """All rows in the order of PassengerId, train first, Survived included."""
    names = [start + end for start in STARTS.split() for end in ENDS.split()]
    labels = zip(rng.permutation(names).tolist(), (2000 + rng.permutation(398_000)).tolist(), strict=False)
    people: list[Person] = []
    for pclass in (1, 2, 3):
        for party in _parties(pclass, rng):
            _describe(party, pclass, labels, rng)
            people += party.parents + party.others
    order = rng.permutation(len(people))[: TRAIN + TEST]
    rows = [{"PassengerId": number, **people[place].row} for number, place in enumerate(order, start=1)]
    for row in rows[61], rows[829]:
        row["Embarked"] = ""
    rows[TRAIN + 152]["Fare"] = ""
    return rows


def _parties(pclass: int, rng: np.random.Generator) -> Iterator[Party]:
    """The people of a class, put together: families with children, couples, companions, and people alone."""
    cells = {key[1:]: counts for key, counts in TABLE.items() if key[0] == pclass}
    people = [Person(*key, bool(fate)) for key, counts in cells.items() for fate in (0, 1) for _ in range(counts[fate])]
    rng.shuffle(people)
    children = [one for one in people if one.child]
    women = [one for one in people if not one.child and not one.male]
    men = [one for one in people if not one.child and one.male]
    while children:
        fate = children[-1].survived
        size = min(len(children), 1 + int(rng.binomial(4, 0.15 if fate else 0.6)))  # large families fared worse
        brood = [_take(children, fate, rng) for _ in range(size)]
        mother = [_take(women, fate, rng)] if rng.random() < 0.9 else []
        yield Party(mother + ([men.pop()] if rng.random() < 0.6 else []), brood)
    for _ in range(round(COUPLES[pclass] * len(women))):
        yield Party([women.pop(), men.pop()], [])
    alone = women + men
    rng.shuffle(alone)
    while alone:
        size = min(len(alone), int(rng.integers(2, 4)) if rng.random() < COMPANIONS[pclass] else 1)
        fate = alone[-1].survived
        yield Party([], [_take(alone, fate, rng) for _ in range(size)], related=bool(rng.random() < 0.5))


def _take(pool: list[Person], fate: bool, rng: np.random.Generator) -> Person:
    """Take somebody out of the pool, mostly with this fate."""
    wanted = fate if rng.random() < FATE else not fate
    person = next((one for one in reversed(pool) if one.survived == wanted), pool[-1])
    pool.remove(person)
    return person


def _describe(party: Party, pclass: int, labels: Iterator[tuple[str, int]], rng: np.random.Generator) -> None:
    """Fill the rows of a party: what it shares, then each person."""
    (surname, ticket), members = next(labels), party.parents + party.others
    prefix = str(rng.choice(["PC ", "", ""] if pclass == 1 else ["C.A. ", "A/5 ", "", "", "", ""]))
    lucky = any(one.survived and not (one.male and not one.child) for one in members)
    heads = sum(0.5 if one.child else 1.0 for one in members)
    shared = {
        "Ticket": f"{prefix}{ticket}",
        "Fare": round(float(FARE[pclass] * heads * rng.lognormal(0, 0.3)), 4),
        "Cabin": _cabin(pclass, rng),
        "Embarked": str(rng.choice(list("SCQ"), p=(LUCKY_PORTS if lucky else PORTS)[pclass])),
    }
    ages = [float(rng.uniform(0.4, 14)) if one.child else _adult_age(pclass, rng) for one in members]
    youngest_parent = max(ages[len(party.parents) :], default=0.0) + 19
    for number, (one, age) in enumerate(zip(members, ages, strict=True)):
        parent = number < len(party.parents)
        kin = party.parents if parent else party.others if party.related else [one]
        surname = surname if number == 0 or party.related else next(labels)[0]
        years = max(age, youngest_parent) if parent and party.others else age
        one.row = {"Survived": int(one.survived), "Pclass": pclass, "Sex": "male" if one.male else "female", **shared}
        one.row["Name"] = f"{surname}, {_given(one, parent, pclass, rng)}"
        age_in_words = f"{round(years) if years >= 2 else round(years, 2):g}"
        one.row["Age"] = age_in_words if rng.random() < AGE_KNOWN[pclass] else ""
        one.row["SibSp"], one.row["Parch"] = len(kin) - 1, len(party.others if parent else party.parents)


def _cabin(pclass: int, rng: np.random.Generator) -> str:
    known = rng.random() < CABIN_KNOWN[pclass]
    return f"{rng.choice(list(DECKS[pclass]))}{rng.integers(2, 130)}" if known else ""


def _adult_age(pclass: int, rng: np.random.Generator) -> float:
    return float(np.clip(rng.normal(*ADULT_AGE[pclass]), 15, 76))


def _given(one: Person, parent: bool, pclass: int, rng: np.random.Generator) -> str:
    """Title and given names, as the real lists write them."""
    if one.male:
        learned = pclass < 3 and rng.random() < 0.06
        title = "Master" if one.child else str(rng.choice(["Dr", "Rev", "Col"])) if learned else "Mr"
    else:
        title = "Mrs" if parent or (not one.child and rng.random() < 0.25) else "Miss"
    return f"{title}. {' '.join(rng.choice((MEN if one.male else WOMEN).split(), 2, replace=False).tolist())}"
