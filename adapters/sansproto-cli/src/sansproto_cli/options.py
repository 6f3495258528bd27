"""Kinds of options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter, validators

Switch: TypeAlias = Annotated[bool, Parameter(negative=(), show_default=False)]
not_negative = validators.Number(gte=0)  # nor NaN, which no time ever reaches
Seconds: TypeAlias = Annotated[float | None, Parameter(metavar="SECONDS", validator=not_negative)]
_port = Parameter(metavar="PORT", validator=validators.Number(gte=0, lte=65_535))
Port: TypeAlias = Annotated[int, _port]  # 0 is any free one
OptionalPort: TypeAlias = Annotated[int | None, _port]
KeyFile: TypeAlias = Annotated[Path, Parameter(metavar="FILE")]
Bind: TypeAlias = Annotated[str, Parameter(metavar="HOST:PORT", show_default=False)]
