"""Fine-tuning in several processes at once, as `torchrun train.py ...` or, with cards, `accelerate launch` starts them.

The first process runs the whole pipeline. The others wait until it shares the fine-tuning with them, and end after it.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from accelerate import Accelerator, PartialState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, is_cuda_available
from fastai.distributed import DistributedDL, DistributedTrainer
from fastai.learner import Learner

T = TypeVar("T")

# The others wait while the first one collects pictures, which may take hours.
PATIENCE = timedelta(hours=12)


def how_many() -> int:
    """The number of processes; 1 unless a launcher such as `torchrun` started several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def share(function: Callable[..., T], *arguments: object) -> T:
    """Run a function of this package in all processes at once; its arguments go to the others as pickles."""
    if how_many() > 1:
        _meet()
        broadcast_object_list([function, arguments])
        return _part_after(function, arguments)
    return function(*arguments)


def help_first() -> None:
    """Run, in a helper, what the first process shares."""
    _meet()
    function, arguments = broadcast_object_list([None, None])
    _part_after(function, arguments)


@contextmanager
def together(learn: Learner) -> Iterator[None]:
    """Train with what the processes have: the batches of an epoch are divided among them."""
    if how_many() == 1:
        yield
        return
    trainer = _Trainer(sync_bn=learn.dls.device.type == "cuda")
    learn.add_cb(trainer)
    try:
        yield
    finally:
        learn.remove_cb(trainer)


def _meet() -> None:
    # Set explicitly: without its own launcher, accelerate ignores processes without graphics cards.
    Accelerator(cpu=not is_cuda_available(), kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])


def _part_after(function: Callable[..., T], arguments: Sequence[object]) -> T:
    result = function(*arguments)
    # From here on the first one is alone; fastai, which looks at both, would wait for the others when it predicts.
    PartialState().destroy_process_group()
    os.environ["WORLD_SIZE"] = "1"
    return result


class _Loader(DistributedDL):
    def _broadcast(self, indices: Any, rank: int) -> Any:
        # fastai sends them through the graphics card, also where there is none.
        return broadcast_object_list([list(indices)], from_process=rank)[0]


class _Trainer(DistributedTrainer):
    def _wrap_dl(self, dl: Any) -> Any:
        return dl if isinstance(dl, _Loader) else _Loader(dl, device=self.learn.model.device)
