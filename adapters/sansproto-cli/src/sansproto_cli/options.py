"""Kinds of options that several commands have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import Parameter

Switch: TypeAlias = Annotated[bool, Parameter(negative=())]
Seconds: TypeAlias = Annotated[float | None, Parameter(metavar="SECONDS")]
