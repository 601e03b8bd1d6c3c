"""Threads that decode and transform pictures beside the training."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from kgl.cores import usable_cores


@contextmanager
def pool(workers: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Threads in each of which torch uses one core; as many as there are usable cores by default.

    What is not done yet when the block ends is dropped.
    """
    torch.get_num_threads()  # fixes the caller's own number, which the setting below would else become
    threads = ThreadPoolExecutor(workers or usable_cores(), initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)
