"""`kgl baseline`: experiments by what they bring a minute, seeds while time is left, a blend, a checked file."""

import math
from functools import partial

from kgl.blend import make_blend
from kgl.board import rank
from kgl.clock import Clock
from kgl.cores import plan
from kgl.crossval import Options, train
from kgl.errors import KglError, usage
from kgl.experiment import experiment_names, load_experiment
from kgl.fold_task import WORKERS_PAY_ABOVE
from kgl.runs import Run
from kgl.session import Say, Session
from kgl.submission import check_run
from kgl.wording import summary

FOR_MODELS = 0.95  # of the time; the rest is for the blend and the file
MOST_SEEDS = 5
PRUDENCE = 1.1  # folds differ


def run_baseline(session: Session, minutes: float | None, done: Say, progress: Say) -> Run:
    """Train, blend and check; an experiment that fails, or is too slow for the time, is named and passed over.

    Args:
        session: see `open_session`.
        minutes: the time for all of it, used up by further seeds; None: as competition.toml says, 0: no limit.
        done, progress: take a line a finished experiment, and a line a finished fold.

    Raises:
        KglError: nothing to train, or every experiment failed.
    """
    limit = 60 * (session.competition.baseline.minutes if minutes is None else minutes)
    names, clock = _choose(session), Clock.of(limit * FOR_MODELS)
    runs = dict[str, Run]()
    for name in names:  # the first is trained whatever it takes, so that there is a file at the end
        if run := _train(session, name, clock if runs else Clock(), done, progress):
            runs[name] = run
    if not runs:
        raise KglError("every experiment of the baseline failed; the reasons stand above.")
    if minutes:
        _average_seeds(session, runs, clock, done, progress)
    blend = make_blend(session)
    done(summary(blend))
    path = check_run(session.workspace, blend.run)
    session.say(
        f"submission: {path.relative_to(session.workspace.root).as_posix()}, {len(session.data.test)} rows, checked"
    )
    if lacking := [name for name in names if name not in runs]:
        session.say(
            f"without {', '.join(lacking)}: the reason stands above, and that of a failure in its run's log.txt"
        )
    return blend


def _choose(session: Session) -> list[str]:
    """The experiments of [baseline] as they stand there, else all that suit the data, by what they bring a minute."""
    if session.competition.baseline.experiments:
        return list(session.competition.baseline.experiments)
    places, names = dict[str, float](), experiment_names(session.workspace)
    for name in names:
        try:
            places[name] = load_experiment(session.workspace, name).place_in_baseline(session.data)
        except KglError as error:
            session.say(f"{name}: failed: {error.message.removeprefix(f'{name}: ')}")
    if unsuited := [name for name, place in places.items() if math.isinf(place)]:
        session.say(f"not for these data: {', '.join(unsuited)}")
    chosen = sorted((name for name in places if name not in unsuited), key=places.__getitem__)
    if not chosen:
        raise usage("no experiments: [baseline] of competition.toml names none and experiments/ has none for the data.")
    return chosen


def _train(
    session: Session, name: str, clock: Clock, done: Say, progress: Say, *, seeds: tuple[int, ...] = ()
) -> Run | None:
    """A complete run; None where it failed, or where the time does not suffice by what its first fold has cost."""
    if clock.left <= 0:
        session.say(f"{name}: left out, the time is over")
        return None
    changes = {"seeds": ",".join(map(str, seeds))} if seeds else {}
    named, again = partial(_named, progress, name), " ".join(["kgl train", name, *map("=".join, changes.items())])
    try:
        with clock.stopping():
            options = Options()
            if clock.left < math.inf:
                first = train(session, name, changes, options=Options(folds=session.folds.numbers[:1]), progress=named)
                seconds, workers = _forecast(session, first)
                if seconds * PRUDENCE > clock.left:
                    needs = f"it needs about {seconds:.0f} s more, {max(0, clock.left):.0f} are left"
                    session.say(f"{name}: left out, {needs}; {again} completes it")
                    return None
                if seconds * workers > WORKERS_PAY_ABOVE and load_experiment(session.workspace, name).at_once() is None:
                    options = Options(workers=workers if workers > 1 else None)
            run = train(session, name, changes, options=options, progress=named)
            done(summary(run))
            return run
        session.say(f"{name}: left out, the time is over; {again} completes it")
    except KglError as error:
        session.say(f"{name}: failed: {error.message.removeprefix(f'{name}: ')}")
    return None


def _forecast(session: Session, run: Run) -> tuple[float, int]:
    """How long the rest of a run will take, by what its finished folds have cost, and on how many workers."""
    if run.is_complete:
        return 0.0, 1
    finished = max(1, sum(score is not None for score in run.fold_scores)) * len(run.seeds)
    lacking = len(session.folds.numbers) * len(run.seeds) - finished
    workers = plan(lacking, len(session.data.train)).workers
    return run.seconds / finished * math.ceil(lacking / workers), workers


def _average_seeds(session: Session, runs: dict[str, Run], clock: Clock, done: Say, progress: Say) -> None:
    """Train with as many further seeds as the time allows, the best experiments first."""
    ranked = rank(list(runs.values()), session.competition.metric)
    gaining = [run for run in ranked if load_experiment(session.workspace, run.experiment).gains_from_seeds]
    workers = plan(len(session.folds.numbers), len(session.data.train)).workers
    costs = {run.experiment: PRUDENCE * run.seconds / len(run.seeds) / workers for run in gaining}
    for run in gaining:
        together = sum(costs.values())
        more = min(MOST_SEEDS - len(run.seeds), max(1, int(clock.left / together)) if together else MOST_SEEDS)
        cost = costs.pop(run.experiment)
        if more > 0 and more * cost < clock.left:
            further = [seed for seed in range(MOST_SEEDS + len(run.seeds)) if seed not in run.seeds][:more]
            _train(session, run.experiment, clock, done, progress, seeds=(*run.seeds, *further))


def _named(progress: Say, name: str, line: str) -> None:
    progress(f"{name}  {line}")
