"""`kgl baseline`: the experiments of [baseline], each scored as it ends, a blend, and a checked submission file."""

import time
from functools import partial

from kgl.blend import make_blend
from kgl.crossval import train
from kgl.errors import KglError, usage
from kgl.experiment import experiment_names
from kgl.runs import Run
from kgl.session import Say, Session
from kgl.submission import check_run
from kgl.wording import summary


def run_baseline(session: Session, minutes: float | None, done: Say, progress: Say) -> Run:
    """Train, blend and check; an experiment that fails is named and passed over.

    Args:
        session: see `open_session`.
        minutes: no further experiment is begun after that time; None: as competition.toml says, 0: no limit.
        done, progress: take a line a finished experiment, and a line a finished fold.

    Raises:
        KglError: nothing to train, or every experiment failed.
    """
    names = session.competition.baseline.experiments or tuple(experiment_names(session.workspace))
    if not names:
        raise usage("no experiments: [baseline] of competition.toml names none and experiments/ is empty.")
    limit = 60 * (session.competition.baseline.minutes if minutes is None else minutes)
    began, trained, failed = time.monotonic(), 0, list[str]()
    for name in names:
        if limit and (trained or failed) and time.monotonic() - began > limit:  # the first is always begun
            session.say(f"{name}: left out, the {limit / 60:g} minutes are over")
            continue
        try:
            done(summary(train(session, name, progress=partial(_named, progress, name))))
            trained += 1
        except KglError as error:
            session.say(f"{name}: failed: {error.message.removeprefix(f'{name}: ')}")
            failed.append(name)
    if not trained:
        raise KglError("every experiment of the baseline failed; the reasons stand above.")
    blend = make_blend(session)
    done(summary(blend))
    path = check_run(session.workspace, blend.run)
    session.say(
        f"submission: {path.relative_to(session.workspace.root).as_posix()}, {len(session.data.test)} rows, checked"
    )
    if failed:
        session.say(f"without {', '.join(failed)}, which failed: the reason stands above, and in its run's log.txt")
    return blend


def _named(progress: Say, name: str, line: str) -> None:
    progress(f"{name}  {line}")
