"""kgl init and kgl folds: what the contest is, and how its rows are split."""

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from kgl.cli.talk import json_option, notice, print_findings, print_json
from kgl.errors import KglError, usage
from kgl.paths import find_workspace

if TYPE_CHECKING:
    from kgl.facts import Fact
    from kgl.online.client import Contest


@click.command()
@click.argument("pairs", nargs=-1, metavar="[key=value...]")
@click.option("--yes", is_flag=True, help="Take what is not sure, marked with '?', without asking.")
@json_option
def init(pairs: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Find the facts of the contest in its files and write them into competition.toml.

    \b
    kgl init                                       # asks about what is not sure
    kgl init metric=auc folds.n_splits=10 --yes    # any fact can be set
    """
    from kgl.competition import load_competition, parse_facts, save_facts
    from kgl.facts import Fact, find_facts

    workspace = find_workspace()
    given, competition = parse_facts(pairs), load_competition(workspace)
    contest = _ask_kaggle(str(given.get("slug", competition.slug)))
    said = {"title": contest.title, "metric": contest.metric} if contest else {}
    found = find_facts(workspace, competition, given, said)
    shown = {fact.key for fact in found}
    found += [Fact(key, value, "as you said") for key, value in given.items() if key not in shown]
    unsure = [] if yes else [fact for fact in found if not fact.sure]
    if unsure:
        _print_facts(found, contest, as_json)
        if not sys.stdin.isatty():
            names = ", ".join(fact.key for fact in unsure)
            raise usage(f"{names}: not sure. Say it ({unsure[0].key}=...), or take it with --yes.")
        found = [fact if fact.sure else _ask(fact) for fact in found]
    save_facts(workspace, {fact.key: fact.value for fact in found if fact.kept})
    if not unsure:
        _print_facts(found, contest, as_json)  # now: `kgl init | head` ends in the middle of it
    if as_json:
        return print_json([asdict(fact) for fact in found])
    click.echo("written to competition.toml, where you can change each of them")
    click.echo("Next: uv run kgl baseline")


def _print_facts(facts: "list[Fact]", contest: "Contest | None", as_json: bool) -> None:
    from kgl.facts import table_of

    if as_json:
        return
    rows = [("fact", "value", "why"), *table_of(facts)]
    widths = [min(40, max(len(row[i]) for row in rows)) for i in range(2)]
    for row in rows:
        click.echo(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}")
    if contest:
        _print_contest(contest)


def _ask_kaggle(slug: str) -> "Contest | None":
    """Kaggle's own facts, where this machine has credentials and Kaggle answers; the files are enough without them."""
    from kgl.online.credentials import sources

    if not slug or not sources():
        return None
    from kgl.online.client import Kaggle

    try:
        return Kaggle(slug, timeout=10.0, attempts=2).contest()
    except KglError as error:
        notice(f"Kaggle was not asked: {error.message}")
        return None


def _print_contest(contest: "Contest") -> None:
    rules = f"https://www.kaggle.com/competitions/{contest.slug}/overview/evaluation"
    click.echo(f"deadline {contest.deadline:%Y-%m-%d %H:%M} UTC" if contest.deadline else "no deadline", nl=False)
    click.echo(f", {contest.daily_limit} submissions a day, {contest.teams:,} teams; how it is scored: {rules}")
    if contest.code_only:
        click.echo("code contest: only notebooks are submitted, not files")


def _ask(fact: "Fact") -> "Fact":
    from kgl.competition import parse_facts

    shown = ",".join(fact.value) if isinstance(fact.value, tuple) else fact.value
    answer = click.prompt(f"{fact.key} ({fact.why})", default=shown)
    return replace(fact, value=parse_facts((f"{fact.key}={answer}",))[fact.key], sure=True)


@click.command()
@click.option("--force", is_flag=True, help="Make the split anew; runs on the old one are then no longer compared.")
@json_option
def folds(force: bool, as_json: bool) -> None:
    """Split the training rows, once for all experiments, as [folds] of competition.toml says."""
    from kgl.folds import make_folds, read_folds, save_folds, summary
    from kgl.suspects import check_split
    from kgl.tables import load_data

    workspace = find_workspace()
    data = load_data(workspace)
    settings = data.competition.folds
    if force or not workspace.folds.is_file():
        save_folds(workspace.folds, make_folds(data, settings), settings)
        done = "written to data/folds.parquet; keep it in git"
    else:
        done = "there already, left as it is; --force makes it anew, and older runs are then no longer compared"
    made = read_folds(workspace.folds, settings)
    table = summary(made, data)
    if as_json:
        return print_json({"scheme": made.scheme, "hash": made.hash(), "folds": table.to_dict("records")})
    click.echo(f"scheme {made.scheme}, {len(made.numbers)} folds: {done}")
    click.echo(table.to_string(index=False))
    print_findings(check_split(data, made.of(data)))
    click.echo("Next: uv run kgl baseline")
