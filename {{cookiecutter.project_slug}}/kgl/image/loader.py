"""Batches of pictures for training and prediction, made ahead by threads; the same for any number of them."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from kgl.cores import usable_cores
from kgl.image.cache import Pictures
from kgl.image.threads import pool
from kgl.image.transforms import Augment, apply_own, augment_lightly, augment_picture, draw

Rows = NDArray[np.int64]
Batch = tuple[torch.Tensor, Rows]  # uint8 (n, channels, height, width), channels innermost in memory; the rows' numbers
AHEAD = 2  # batches that wait beside those being made


def epoch_order(rows: Rows, *, seed: int, epoch: int) -> Rows:
    """The rows in the order of an epoch."""
    return np.random.default_rng([seed, epoch, 1]).permutation(rows)


def train_batch_count(rows: int, batch_size: int) -> int:
    """Steps of an epoch: as `batches` makes them for training."""
    return len(_equal_parts(np.arange(rows), batch_size))


def batches(
    pictures: Pictures,
    order: Rows,
    *,
    batch_size: int,
    augment: Augment | None,
    seed: int = 0,
    epoch: int = 0,
    workers: int | None = None,
    pin: bool = False,
    skip: int = 0,
) -> Iterator[Batch]:
    """The pictures of these rows in this order.

    Args:
        pictures: all rows of train or test; `order` chooses from them and must leave out the bad ones.
        augment: for training, in batches of equal size and never of one row, so that a few rows may wait for another
            epoch; None for prediction: each row once, unchanged, the last batch smaller.
        seed, epoch: what random numbers are drawn by, together with the row's number.
        workers: threads beside the caller; by default none where nothing is decoded and no GPU waits.
        pin: put batches into memory that a GPU copies from on its own.
        skip: batches at the start that were trained on already.
    """
    if workers is None:
        workers = 0 if pictures.pixels is not None and not pin else usable_cores()
    parts = _equal_parts(order, batch_size) if augment else _parts(order, batch_size)
    numbers = draw(len(pictures), seed=seed, epoch=epoch)
    make = partial(_assemble, pictures, augment=augment, numbers=numbers, pin=pin)
    for batch, rows in _ahead(make, parts[skip:], workers):
        if augment and augment.own:  # not in a thread: random states are the process's, and training draws, too
            apply_own(batch, augment.own, numbers[rows])
        yield batch, rows


def _parts(order: Rows, size: int) -> list[Rows]:
    return [order[i : i + size] for i in range(0, len(order), size)]


def _equal_parts(order: Rows, size: int) -> list[Rows]:
    """Full batches where the rest is less than a tenth of the rows, else smaller ones so that few rows are left."""
    if len(order) < 2:
        return [order] if len(order) else []
    count = len(order) // size if len(order) % size <= len(order) // 10 else -(-len(order) // size)
    count = max(1, min(count, len(order) // 2))  # batch norm needs two rows
    return _parts(order, max(2, min(size, len(order) // count)))[:count]


def _assemble(
    pictures: Pictures, rows: Rows, *, augment: Augment | None, numbers: NDArray[np.float32], pin: bool
) -> Batch:
    batch = torch.empty((len(rows), *pictures.size, pictures.channels), dtype=torch.uint8, pin_memory=pin)
    places, found = batch.numpy(), (pictures[row] for row in rows.tolist())
    if augment and augment.level == "light":
        augment_lightly(places, found, augment, numbers[rows])
    else:
        for place, picture, drawn in zip(places, found, numbers[rows], strict=True):
            place[...] = augment_picture(picture, augment, drawn) if augment else picture
    return batch.permute(0, 3, 1, 2), rows


def _ahead(make: Callable[[Rows], Batch], parts: Sequence[Rows], workers: int) -> Iterator[Batch]:
    """`make` of each part in order, some of them ahead in threads."""
    if not workers:
        yield from map(make, parts)
        return
    with pool(workers) as threads:
        waiting = deque(threads.submit(make, part) for part in parts[: workers + AHEAD])
        for part in parts[workers + AHEAD :]:
            ready = waiting.popleft().result()
            waiting.append(threads.submit(make, part))
            yield ready
        while waiting:
            yield waiting.popleft().result()
