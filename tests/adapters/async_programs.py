"""Programs that run on every adapter with tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansproto.testing.adapter_suite import ScriptedEndpoint


async def events_until_closed(run: Callable[..., Any]) -> list[object]:
    """One timer, and then the end."""
    endpoint = ScriptedEndpoint()
    async with run(endpoint) as runner:
        runner.call(endpoint.arm)
        found: list[object] = []
        async for event in runner:
            found.append(event)
            runner.call(endpoint.close)
        return found
