"""Plans: what of a model fits in a GPU's memory, before anything is loaded."""

from __future__ import annotations

import json
from typing import Any

from plimsoll._library import embedded, text_from


def plan(model: str | dict[str, Any], **options: Any) -> dict[str, Any]:
    """The plan of a model, given its config.json as a text or an object.

    ``gpu="h100"`` or ``memory="80GiB"`` is needed; the other options are those of `plimsoll plan`.
    A model that does not fit is a plan with memory.shortfall_bytes, not an error.
    """
    config = model if isinstance(model, str) else json.dumps(model)
    text = text_from(embedded().plimsoll_plan, config.encode(), json.dumps(options).encode())
    planned: dict[str, Any] = json.loads(text)
    return planned
