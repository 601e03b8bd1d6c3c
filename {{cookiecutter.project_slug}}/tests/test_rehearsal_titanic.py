"""The sample Titanic: the published counts, families, gaps, and nothing that differs between two runs."""

import csv
import io
from collections import Counter, defaultdict

import pytest

from kgl.rehearsal.contest import PracticeContest
from kgl.rehearsal.titanic import COLUMNS, TABLE, sample_contest

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def contest() -> PracticeContest:
    return sample_contest()


def rows(contest: PracticeContest, name: str) -> Rows:
    return list(csv.DictReader(io.StringIO(contest.files[name].decode())))


def everybody(contest: PracticeContest) -> Rows:
    """Train and test with the hidden labels."""
    hidden = [row | {"Survived": contest.solution[row["PassengerId"]].label} for row in rows(contest, "test.csv")]
    return rows(contest, "train.csv") + hidden


def test_the_files_have_kaggles_names_columns_and_rows(contest: PracticeContest) -> None:
    assert sorted(contest.files) == ["gender_submission.csv", "test.csv", "train.csv"]
    train, test, sample = (rows(contest, name) for name in ("train.csv", "test.csv", "gender_submission.csv"))
    assert (len(train), len(test), len(sample)) == (891, 418, 418)
    assert list(train[0]) == COLUMNS
    assert list(test[0]) == [name for name in COLUMNS if name != "Survived"]
    assert [row["PassengerId"] for row in train + test] == [str(number) for number in range(1, 1310)]
    assert {row["PassengerId"] for row in test} == set(contest.solution)
    assert all((row["Survived"] == "1") == (one["Sex"] == "female") for row, one in zip(sample, test, strict=True))


def test_it_is_called_a_sample(contest: PracticeContest) -> None:
    assert "sample" in contest.title


def test_survivors_by_class_and_sex_follow_the_published_table(contest: PracticeContest) -> None:
    table: Counter[tuple[str, str, str]] = Counter()
    for (pclass, male, _), counts in TABLE.items():
        for fate in (0, 1):
            table[str(pclass), "male" if male else "female", str(fate)] += counts[fate]
    aboard = Counter((row["Pclass"], row["Sex"], row["Survived"]) for row in everybody(contest))
    assert sum(table.values()) == 1316
    assert all(0 <= table[cell] - aboard[cell] <= 7 for cell in table)  # 7 of the 1316 are left out


def by_ticket(contest: PracticeContest) -> list[Rows]:
    """Parties of more than one person."""
    tickets: dict[str, Rows] = defaultdict(list)
    for row in everybody(contest):
        tickets[row["Ticket"]].append(row)
    return [party for party in tickets.values() if len(party) > 1]


def test_a_ticket_has_one_fare_one_port_and_one_class(contest: PracticeContest) -> None:
    parties = by_ticket(contest)
    assert 150 < len(parties) < 300
    for column in ("Fare", "Embarked", "Pclass"):
        assert all(len({row[column] for row in party if row[column]}) <= 1 for party in parties)


def test_women_and_children_on_a_ticket_mostly_share_their_fate(contest: PracticeContest) -> None:
    weak = [
        [row for row in party if row["Sex"] == "female" or "Master." in row["Name"]] for party in by_ticket(contest)
    ]
    third = [party for party in weak if len(party) > 1 and party[0]["Pclass"] == "3"]
    together = sum(len({row["Survived"] for row in party}) == 1 for party in third) / len(third)
    assert together > 0.7  # 0.5 or less if the fates were drawn one by one


def test_families_share_a_surname_and_their_columns_agree(contest: PracticeContest) -> None:
    families = [party for party in by_ticket(contest) if any(row["Parch"] != "0" for row in party)]
    assert len(families) > 40
    for party in families:
        assert len({row["Name"].split(",")[0] for row in party}) == 1
        assert all(int(row["SibSp"]) + int(row["Parch"]) >= len(party) - 1 for row in party)


@pytest.mark.parametrize(("column", "low", "high"), [("Age", 0.17, 0.24), ("Cabin", 0.73, 0.81)])
def test_gaps_are_as_frequent_as_in_the_real_data(
    contest: PracticeContest, column: str, low: float, high: float
) -> None:
    train = rows(contest, "train.csv")
    assert low < sum(not row[column] for row in train) / len(train) < high


def test_the_gender_rule_scores_as_at_kaggle_and_both_halves_are_hidden_evenly(contest: PracticeContest) -> None:
    train = rows(contest, "train.csv")
    right = sum((row["Sex"] == "female") == (row["Survived"] == "1") for row in train) / len(train)
    public, private = contest.score(contest.files["gender_submission.csv"])
    assert 0.77 < right < 0.79
    assert 0.74 < public < 0.79
    assert 0.74 < private < 0.79
    assert sum(answer.public for answer in contest.solution.values()) == 209


def test_two_runs_make_the_same_bytes_and_another_seed_makes_others(contest: PracticeContest) -> None:
    again, other = sample_contest(), sample_contest(seed=1)
    assert (again.files, again.solution, again.teams) == (contest.files, contest.solution, contest.teams)
    assert other.files["train.csv"] != contest.files["train.csv"]
