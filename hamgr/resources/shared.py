"""What all resources of a daemon share: one object for each event loop, made by the first user, closed by the last."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, ClassVar, Self


class Shared:
    """`join` gives the one of this loop, `leave` lets go of it. A subclass is made without arguments, and closes."""

    _of_loop: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any]]
    _users = 0

    def __init_subclass__(cls) -> None:
        cls._of_loop = weakref.WeakKeyDictionary()

    @classmethod
    def join(cls) -> Self:
        """Raises what making it raises."""
        loop = asyncio.get_running_loop()
        found: Self | None = cls._of_loop.get(loop)
        if found is None:
            found = cls._of_loop[loop] = cls()
        found._users += 1
        return found

    def leave(self) -> None:
        self._users -= 1
        if self._users == 0:
            self.close()
            for loop, one in list(self._of_loop.items()):
                if one is self:
                    del self._of_loop[loop]

    def close(self) -> None:
        raise NotImplementedError
