"""`kgl baseline`: experiments by what they bring a minute, seeds while time is left, a blend, a checked file."""

import math
from dataclasses import dataclass, field, replace

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

FOR_MODELS = 0.9  # of the time; the rest is for the blend and the file
MOST_SEEDS = 5
PRUDENCE = 1.1  # folds differ
SLACK = 1.2
FOR_ANOTHER_TRY = 1.0  # seconds that have to be left


def run_baseline(session: Session, minutes: float | None, cluster: str, done: Say, progress: Say) -> Run:
    """Train, blend and check; an experiment that fails, or is too slow for the time, is named and passed over.

    Args:
        session: see `open_session`.
        minutes: the time for all of it, used up by further seeds; None: as competition.toml says, 0: no limit.
        cluster: address of a dask scheduler whose workers train the folds; empty: this machine does.
        done, progress: take a line a finished experiment, and a line a finished fold.

    Raises:
        KglError: nothing to train, or every experiment failed.
    """
    limit = 60 * (session.competition.baseline.minutes if minutes is None else minutes)
    names, work = _choose(session), _Work(session, Clock.of(limit * FOR_MODELS), cluster, done, progress)
    runs = list[Run]()
    for name in names:  # the first is trained whatever it takes, so that there is a file at the end
        if run := work.train(name, clock=work.clock if runs else Clock()):
            runs.append(run)
    if not runs:
        raise KglError("every experiment of the baseline failed; the reasons stand above.")
    if minutes:
        work.average_seeds(runs)
    blend = make_blend(session)
    done(summary(blend))
    path = check_run(session.workspace, blend.run)
    session.say(
        f"submission: {path.relative_to(session.workspace.root).as_posix()}, {len(session.data.test)} rows, checked"
    )
    if work.failed:
        failed = ", ".join(work.failed)
        session.say(f"without {failed}, which failed: the reason stands above, and in its run's log.txt")
    return blend


def _choose(session: Session) -> list[str]:
    """The experiments of [baseline] as they stand there, else all that suit the data, by what they bring a minute."""
    if session.competition.baseline.experiments:
        return list(session.competition.baseline.experiments)
    places = dict[str, float]()
    for name in experiment_names(session.workspace):
        try:
            places[name] = load_experiment(session.workspace, name).place_in_baseline(session.data)
        except KglError:
            places[name] = 0.0  # training it tells what is wrong
    if unsuited := [name for name, place in places.items() if math.isinf(place)]:
        session.say(f"not for these data: {', '.join(unsuited)}")
    chosen = sorted(places.keys() - set(unsuited), key=lambda name: (places[name], name))
    if not chosen:
        raise usage("no experiments: [baseline] of competition.toml names none and experiments/ has none for the data.")
    return chosen


@dataclass
class _Work:
    """The trainings of a baseline."""

    session: Session
    clock: Clock
    cluster: str
    done: Say
    progress: Say
    failed: list[str] = field(default_factory=list)
    changes: dict[str, dict[str, str]] = field(default_factory=dict)  # of each experiment, so that it ends in time
    variant: int = 0  # how much faster experiments have to be than they stand there, as others before them had to

    def train(self, name: str, seeds: tuple[int, ...] = (), *, clock: Clock) -> Run | None:
        """A complete run, of a faster variant if need be; None, and it is said why, if it failed or takes too long."""
        more, run, lacking = {"seeds": ",".join(map(str, seeds))} if seeds else {}, None, ""
        try:
            for changes in [self.changes[name]] if seeds else self._variants(name):
                if lacking:
                    self.session.say(f"{name}: {lacking}; tried faster, with {_words(changes)}")
                    self.variant += 1
                self.changes[name] = changes
                run, lacking = self._in_time(name, changes | more, clock)
                if run or clock.left < FOR_ANOTHER_TRY:
                    break
        except KglError as error:
            self.session.say(f"{name}: failed: {error.message.removeprefix(f'{name}: ')}")
            self.failed.append(name)
            return None
        if not run:
            words = _words({name: ""} | self.changes[name] | more)
            self.session.say(f"{name}: left out, {lacking}; kgl train {words} completes it")
        return run

    def _variants(self, name: str) -> list[dict[str, str]]:
        """Changes of an experiment, each faster than the one before; from where models before it came out in time."""
        experiment = load_experiment(self.session.workspace, name)
        faster = [experiment.faster(self.session.data, level) for level in (1, 2)]
        found = [{}, *(changes for changes in faster if changes)]
        return found[min(self.variant, len(found) - 1) :]

    def _in_time(self, name: str, changes: dict[str, str], clock: Clock) -> tuple[Run | None, str]:
        """A complete run, or what it lacks."""
        if clock.left > 0:
            with clock.stopping():
                options, needs = self._plan(name, changes, clock)
                if needs:
                    return None, needs
                run = self._train(name, changes, options)
                self.done(summary(run))
                return run, ""
        return None, "the time is over"

    def _plan(self, name: str, changes: dict[str, str], clock: Clock) -> tuple[Options, str]:
        """How to train the folds after the first, which tells what they cost, or why there is no time for them."""
        if math.isinf(clock.left):
            return Options(), ""
        folds, rows = self.session.folds, len(self.session.data.train)
        numbers = folds.trained
        # the first fold may take its share of the time and a little more: it alone reads texts and imports libraries
        limit = Clock.of(SLACK * clock.left / math.ceil(len(numbers) / plan(len(numbers), rows).workers))
        run = None
        with limit.stopping():
            run = self._train(name, changes, Options(folds=folds.predicting[:1]))
        if run is None:
            return Options(), f"its first fold takes so long that there is no time for {len(numbers)}"
        if run.is_complete:
            return Options(), ""
        finished = max(1, sum(score is not None for score in run.fold_scores)) * len(run.seeds)
        waiting = len(numbers) * len(run.seeds) - finished
        of_less = 0.5 if folds.scheme == "time" else 1.0  # models of half the rows, on average
        workers = plan(waiting, rows).workers
        seconds = run.seconds / finished * math.ceil(waiting / workers) * of_less
        if seconds * PRUDENCE > clock.left:
            return Options(), f"it needs about {seconds:.0f} s more, {max(0, clock.left):.0f} are left"
        beside = (
            seconds * workers > WORKERS_PAY_ABOVE and load_experiment(self.session.workspace, name).at_once() is None
        )
        return Options(workers=workers if beside and workers > 1 else None), ""

    def _train(self, name: str, changes: dict[str, str], options: Options) -> Run:
        options = replace(options, cluster=self.cluster)
        return train(
            self.session, name, changes, options=options, progress=lambda line: self.progress(f"{name}  {line}")
        )

    def average_seeds(self, runs: list[Run]) -> None:
        """Train with as many further seeds as the time allows, the best experiments first."""
        session = self.session
        workers = plan(len(session.folds.trained), len(session.data.train)).workers
        ranked = rank(runs, session.competition.metric)
        gaining = [run for run in ranked if load_experiment(session.workspace, run.experiment).gains_from_seeds]
        costs = [PRUDENCE * max(run.seconds, 0.1) / len(run.seeds) / workers for run in gaining]
        for i, run in enumerate(gaining):
            more = min(MOST_SEEDS - len(run.seeds), max(1, int(self.clock.left / sum(costs[i:]))))
            if more > 0 and more * costs[i] < self.clock.left:
                unused = (seed for seed in range(2 * MOST_SEEDS) if seed not in run.seeds)
                self.train(run.experiment, (*run.seeds, *sorted(unused)[:more]), clock=self.clock)


def _words(changes: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" if value else key for key, value in changes.items())
