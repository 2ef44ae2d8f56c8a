"""Which connection fetches which bytes: blocks in order, long runs where answers are slow to begin."""

from __future__ import annotations

import threading
from typing import IO, TYPE_CHECKING

import xxhash

from localllm.core.downloads.part_file import BLOCK, NONE, TAKEN, THERE

if TYPE_CHECKING:
    from localllm.core.downloads.part_file import PartFile

SHORTEST_RUN, LONGEST_RUN = 12, 256  # blocks of one request
_MOST_FRESH = 64  # blocks in memory
_LEAST_TO_SHARE = 4  # blocks; less is not worth a request of its own


class Fresh:
    """Blocks that have just arrived, for who hashes the file in order; what finds no room is read back.

    Who brings a block waits a little where the hash is close behind: fetching on would only take its time.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._changed = threading.Condition()
        self._blocks: dict[int, bytearray] = {}
        self._spare: list[bytearray] = []
        self._front = 0
        self._starving = True

    def buffer(self) -> bytearray:
        """Return room for a block; used ones come again, which saves the system a lot of work."""
        with self._changed:
            return self._spare.pop() if self._spare else bytearray(BLOCK)

    def give_back(self, buffer: bytearray) -> None:
        """Say that a buffer is not needed any more."""
        with self._changed:
            self._spare.append(buffer)

    def put(self, block: int, buffer: bytearray) -> None:
        """Keep a block if there is room, or if there soon is."""
        with self._changed:
            while (
                len(self._blocks) >= _MOST_FRESH
                and not self._starving
                and not self._stop.is_set()
                and block - self._front < 4 * _MOST_FRESH
            ):
                self._changed.wait(0.1)
            if len(self._blocks) < _MOST_FRESH:
                self._blocks[block] = buffer
            else:
                self._spare.append(buffer)
            if self._starving:
                self._changed.notify_all()

    def pop(self, block: int) -> bytearray | None:
        """Return the block that is hashed next, and forget it."""
        with self._changed:
            self._front, self._starving = block, False
            self._changed.notify()
            return self._blocks.pop(block, None)

    def starve(self) -> None:
        """Wait a little for the next block, which has not come yet."""
        with self._changed:
            if not self._starving:
                self._starving = True
                self._changed.notify_all()
            self._changed.wait(0.02)


class Run:
    """A stretch of the file that one connection fetches; another may take over its end."""

    def __init__(self, part: PartFile, fresh: Fresh, first_block: int, blocks: int) -> None:
        self._part = part
        self._fresh = fresh
        self._buffer = fresh.buffer()
        self.position = first_block * BLOCK
        self.end = min((first_block + blocks) * BLOCK, part.identity.size)
        self._sum = xxhash.xxh3_64()

    @property
    def block(self) -> int:
        """The block that is being filled."""
        return self.position // BLOCK

    @property
    def begun(self) -> int:
        """Bytes of the block that is being filled."""
        return self.position % BLOCK

    def room(self, most: int) -> memoryview:
        """Return where the next bytes are to be put: up to the end of the block or of the run."""
        left = min(self.end, self.block * BLOCK + self._part.length(self.block)) - self.position
        return memoryview(self._buffer)[self.begun : self.begun + min(most, left)]

    def write(self, file: IO[bytes], view: memoryview) -> None:
        """Write what has been put there; finish the block if that was its end."""
        block = self.block
        last = self.begun + len(view) == self._part.length(block)
        file.seek(self.position)
        write_all(file, view)
        self._sum.update(view)
        if last:
            self._part.finish_block(block, self._sum.intdigest())
            self._fresh.put(block, self._buffer)
            self._sum, self._buffer = xxhash.xxh3_64(), self._fresh.buffer()
        self.position += len(view)

    def restart_block(self) -> None:
        """Forget the beginning of an unfinished block."""
        self.position -= self.begun
        self._sum = xxhash.xxh3_64()

    def close(self) -> None:
        """Give its buffer back."""
        self._fresh.give_back(self._buffer)


def write_all(file: IO[bytes], view: memoryview) -> None:
    """Write all of it: an unbuffered file may take less at a time when a disk is nearly full."""
    while view:
        view = view[file.write(view) :]


class Plan:
    """Hands out runs until every block is there and was hashed."""

    def __init__(self, part: PartFile, connections: int, stop: threading.Event) -> None:
        self._part = part
        self._connections = connections
        self._stop = stop
        self.fresh = Fresh(stop)
        self._changed = threading.Condition()
        self._runs: list[Run] = []
        self._first_missing = 0
        self._finished = False

    def take(self, wished: int) -> Run | None:
        """Return the next run, of about so many blocks; wait for one; None at the end."""
        with self._changed:
            while not (self._finished or self._stop.is_set()):
                run = self._next(wished) or self._share()
                if run is not None:
                    self._runs.append(run)
                    return run
                self._changed.wait(0.5)
            return None

    def give_back(self, run: Run) -> None:
        """Say that nobody works on a run any more; what is missing of it is handed out again."""
        with self._changed:
            self._runs.remove(run)
            run.close()
            for block in range(run.block, -(-run.end // BLOCK)):
                if self._part.states[block] == TAKEN:
                    self._part.states[block] = NONE
            self._first_missing = min(self._first_missing, run.block)
            self._changed.notify_all()

    def claim(self, block: int) -> Run | None:
        """Return a run of one block if nobody has it."""
        with self._changed:
            if self._part.states[block] != NONE:
                return None
            self._part.states[block] = TAKEN
            run = Run(self._part, self.fresh, block, 1)
            self._runs.append(run)
            return run

    def miss(self, block: int) -> None:
        """Have a block fetched again."""
        with self._changed:
            self._part.drop_block(block)
            self._first_missing = min(self._first_missing, block)
            self._changed.notify_all()

    def wake(self, *, finished: bool = False) -> None:
        """Let everybody who waits look again."""
        with self._changed:
            self._finished = self._finished or finished
            self._changed.notify_all()

    @property
    def done(self) -> int:
        """Bytes that are there, those of unfinished blocks included."""
        with self._changed:
            return self._part.done + sum(run.begun for run in self._runs)

    def _next(self, wished: int) -> Run | None:
        states = self._part.states
        first = states.find(NONE, self._first_missing)
        self._first_missing = first if first >= 0 else self._part.count
        if first < 0:
            return None
        fair = -(-states.count(NONE) // self._connections)
        length = 1
        while (
            length < min(wished, fair)
            and first + length < self._part.count
            and states[first + length] == NONE
        ):
            length += 1
        states[first : first + length] = bytes([TAKEN]) * length
        return Run(self._part, self.fresh, first, length)

    def _share(self) -> Run | None:
        """Take over the second half of the longest run, so that nobody waits for one slow connection."""
        longest = max(self._runs, key=lambda run: run.end - run.position, default=None)
        if longest is None:
            return None
        end = -(-longest.end // BLOCK)
        blocks = end - longest.block
        if blocks < _LEAST_TO_SHARE:
            return None
        middle = longest.block + (blocks + 1) // 2
        run = Run(self._part, self.fresh, middle, end - middle)
        longest.end = middle * BLOCK
        return run


def all_there(part: PartFile) -> bool:
    """Return whether every block is there."""
    return part.states.count(THERE) == part.count
