"""How many cores this process may use, and how they are shared between folds at once and threads in a model."""

from dataclasses import dataclass

from kgl.errors import usage

ROWS_A_THREAD = 10_000  # below that a further thread inside a model costs more than it brings


@dataclass(frozen=True)
class Plan:
    """Folds at once, and threads inside each; their product is at most the usable cores."""

    workers: int
    threads: int


def usable_cores() -> int:
    """Cores by affinity and by the container's CPU quota, as joblib (loky) reads them; not os.cpu_count()."""
    from joblib import cpu_count

    return int(cpu_count())


def plan(tasks: int, rows: int, *, workers: int | None = None, cores: int | None = None) -> Plan:
    """Share the cores: threads where rows are many, else folds beside each other.

    Args:
        tasks: how many models are to be trained.
        rows: how many rows each learns from.
        workers: as many processes as the user asked for.
        cores: usable cores, found if not given.
    """
    cores = cores or usable_cores()
    if workers is not None and not 1 <= workers <= cores:
        raise usage(f"--workers {workers}: expected 1 to {cores}, the cores that this process may use.")
    threads = max(1, min(cores // (workers or 1), rows // ROWS_A_THREAD))
    return Plan(workers=max(1, min(tasks, workers or cores // threads)), threads=threads)
