"""What a client asks its domain: paths and settings, over the reliable channel. docs/protocols/overte.rst, paths and
settings."""

from __future__ import annotations

from typing import Annotated, Final

import attrs

from ..contract import Path, Phase
from ..errors import LocalProtocolError, NotOpen
from ..old_machine import Machine
from ..snapshot import CACHED
from . import packets as p
from .events import ClientEvent, NotAnswered, PathAnswered, SettingsReceived
from .limits import ClientLimits
from .tables import QUERY
from .tables.client import QueryInput, QueryState
from .transport import Transport

_LONGEST_PATH: Final = 1024  # bytes; a query has to fit into one datagram


@attrs.define(eq=False, weakref_slot=False)
class Query:
    """A question for the viewpoint of a ``path``, or else for settings of a ``kind``."""

    key: int
    path: str | None
    kind: int | None
    state: QueryState = QueryState.NEW


class Queries(Transport[ClientEvent], abstract=True):
    """The part of a client that asks."""

    _domain: Path | None
    _queries: dict[int, Query]
    _last_query: int
    _bounds: Annotated[ClientLimits, CACHED]

    _query = Machine(QUERY, objects="_queries")

    # -- verbs

    def ask_path(self, path: str, now: float) -> None:
        """Ask where a path leads: ``PathAnswered`` or ``NotAnswered`` follows.

        Raises NotOpen while there is no connection, LocalProtocolError for a path of more than 1024 bytes in UTF-8 and
        while ``limits.queries`` questions are open.
        """
        try:
            size = len(path.encode())
        except UnicodeEncodeError:
            raise LocalProtocolError("ask_path", self.phase.name, "text that has no UTF-8") from None
        if size > _LONGEST_PATH:
            raise LocalProtocolError("ask_path", self.phase.name, f"a path of more than {_LONGEST_PATH} bytes")
        self._ask("ask_path", path, None, now)

    def request_settings(self, kind: p.AssignmentType, now: float) -> None:
        """Ask for the domain's settings of this kind: ``SettingsReceived`` or ``NotAnswered`` follows.

        Answers do not say to what: they are taken in the order of the questions. Raises as ``ask_path`` does.
        """
        self._ask("request_settings", None, kind.value, now)

    def _ask(self, verb: str, path: str | None, kind: int | None, now: float) -> None:
        if self.phase is not Phase.OPEN:
            raise NotOpen(verb, self.phase.name)
        if len(self._queries) >= self._bounds.queries:
            raise LocalProtocolError(verb, self.phase.name, "too many questions are open")
        self._advance(now)
        self._begin_query(path, kind)
        self._settle()

    # -- for the client

    def _begin_query(self, path: str | None, kind: int | None) -> None:
        self._last_query += 1
        query = self._queries[self._last_query] = Query(self._last_query, path, kind)
        self._post(self._query, query, QueryInput.ASK)

    def _path_answered(self, packet: p.PathResponse) -> None:
        self._answered(next((query for query in self._queries.values() if query.path == packet.path), None), packet)

    def _settings_answered(self, packet: p.DomainSettings) -> None:
        self._answered(next((query for query in self._queries.values() if query.path is None), None), packet)

    def _answered(self, query: Query | None, packet: p.PathResponse | p.DomainSettings) -> None:
        if query is None:
            self._drop("an answer to no question")
        else:
            self._post(self._query, query, QueryInput.ANSWERED, packet)

    def _forget_queries(self) -> None:
        for query in self._queries.values():
            self._post(self._query, query, QueryInput.FORGOTTEN)

    # -- the table's actions

    def _query_send(self, query: Query, _: object) -> None:
        assert self._domain is not None  # there is a connection
        if query.path is not None:
            self.send_reliable(self._domain, p.PathQuery(query.path))
        else:
            assert query.kind is not None
            self.send_reliable(self._domain, p.DomainSettingsRequest(query.kind))

    def _query_tell_answer(self, query: Query, packet: p.PathResponse | p.DomainSettings) -> None:
        if isinstance(packet, p.PathResponse):
            self._emit(PathAnswered(packet.path, packet.viewpoint))
        else:
            assert query.kind is not None
            self._emit(SettingsReceived(query.kind, packet.json))

    def _query_tell_no_answer(self, query: Query, _: object) -> None:
        self._emit(NotAnswered(query.path, query.kind))

    def _query_forget(self, query: Query, _: object) -> None:
        del self._queries[query.key]
