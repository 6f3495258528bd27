"""A visit to an Overte domain: what happens there, told as it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import attrs

from sansproto.errors import NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.overte import (
    ClientEvent,
    Connected,
    DenialReason,
    Denied,
    Disconnected,
    DomainClient,
    Loss,
    NodeActivated,
    NodeAdded,
    NodeInfo,
    NodeMeasured,
    NodeRemoved,
    NotAnswered,
    PathAnswered,
    PermissionsChanged,
    Removal,
    Renumbered,
    uuid_text,
)
from sansproto.overte.connection import ConnectionState

from .domain_words import label_of, name_of, permissions_of, where_is
from .exits import CommandFailed, Exit, Interrupted
from .line import Runner, each_event
from .report import Reporter, Rows, printable

PATIENCE = 10.0  # seconds until somebody who may let us in has to have done so
_TABLE_EVERY = 0.25  # seconds
_PINGS_EVERY = 10.0  # seconds between two lines on the ping of a node
_LOSSES = {
    Loss.SILENT: "The domain is silent: asking to be let in again.",
    Loss.MOVED: "This computer has another address now: asking to be let in again.",
}
_REMOVALS = {
    Removal.REMOVED: "left",
    Removal.SILENT: "was silent for too long",
    Removal.REPLACED: "was replaced by another one",
    Removal.RESTARTED: "has forgotten us",
}
_OPTIONS = {
    DenialReason.PROTOCOL_MISMATCH: " (--protocol)",
    DenialReason.LOGIN_ERROR_DIRECTORY: " (--username, --key)",
    DenialReason.NOT_AUTHORIZED_DIRECTORY: " (--username, --key)",
    DenialReason.LOGIN_ERROR_DOMAIN: " (--account)",
    DenialReason.NOT_AUTHORIZED_DOMAIN: " (--account)",
}
_HEADING = ("node", "address", "ping", "clock", "state")


@attrs.frozen
class Advice:
    """What to do if the domain does not let us in without saying why."""

    nobody: str  # nothing came from it
    silent: str  # something did


class Connecting:
    """Goes to the domain at ``where``, and stays until Ctrl-C, or for ``stay`` seconds. Asks where ``path`` leads.

    ``timeout`` is how long to try before the first time that we get in; None is PATIENCE, or until a denial that
    waiting does not change. Who was in once tries for ever.
    """

    def __init__(
        self,
        client: DomainClient,
        runner: Runner[ClientEvent],
        check: Callable[[], None],
        reporter: Reporter,
        where: str,
        advice: Advice,
        *,
        path: str = "",
        timeout: float | None = None,
        stay: float | None = None,
    ) -> None:
        self._client = client
        self._runner = runner
        self._check = check
        self._reporter = reporter
        self._where = where
        self._advice = advice
        self._path = path
        self._timeout = timeout
        self._stay = stay
        self._began = time.monotonic()
        self._entered: float | None = None  # the first time that we got in
        self._denied: Denied | None = None
        self._labels: dict[bytes, str] = {}  # of nodes
        self._pings_told: dict[bytes, float] = {}  # when a line told of a node's ping
        self._table_at = 0.0
        self._has_table = False

    def run(self) -> None:
        """Raises CommandFailed if we never got in."""
        self._reporter.tell("connecting", f"Asking the domain at {self._where} to let us in.", domain=self._where)
        self._runner.call(self._client.connect)
        try:
            for event in each_event(self._runner, self._check):
                if event is not None:
                    self._tell(event)
                self._show_table()
                if self._is_over():
                    break
        except Interrupted:
            if self._entered is None:
                raise
        finally:
            self._reporter.show(())
        self._reporter.tell("left", "Left the domain.")

    def _is_over(self) -> bool:
        now = time.monotonic()
        if self._entered is not None:
            return self._stay is not None and now >= self._entered + self._stay
        if now >= self._began + (PATIENCE if self._timeout is None else self._timeout):
            raise self._nobody() if self._denied is None else _refused(self._denied)
        return False

    def _tell(self, event: ClientEvent) -> None:
        match event:
            case Connected(session_id, local_id):
                self._tell_connected(session_id, local_id, event.domain_id, event.permissions)
            case Disconnected(why):
                self._forget_nodes()
                self._reporter.tell("disconnected", _LOSSES[why], reason=why.name.lower())
            case Renumbered(session_id, local_id):
                self._forget_nodes()
                text = "The domain has begun another session with us."
                self._reporter.tell("renumbered", text, session=uuid_text(session_id), local_id=local_id)
            case Denied():
                self._tell_denied(event)
            case PathAnswered(path, viewpoint):
                self._tell_path(path, viewpoint)
            case NotAnswered(str(path)):
                self._tell_path(path, None)
            case PermissionsChanged(bits):
                self._reporter.tell("permissions", f"We may now: {_listed(bits)}.", permissions=permissions_of(bits))
            case Closed():
                raise self._ended(event)
            case NodeAdded() | NodeActivated() | NodeMeasured() | NodeRemoved():
                self._tell_node(event)
            case _:  # what others send, and the domain's settings, are for programs
                pass

    def _tell_connected(self, session_id: bytes, local_id: int, domain_id: bytes, bits: int) -> None:
        self._denied = None
        if self._entered is None:
            self._entered = time.monotonic()
        self._reporter.tell(
            "connected",
            f"In the domain {uuid_text(domain_id)}. We may: {_listed(bits)}. Ctrl-C leaves it.",
            domain_id=uuid_text(domain_id),
            session=uuid_text(session_id),
            local_id=local_id,
            permissions=permissions_of(bits),
        )
        if self._path:
            with suppress(NotOpen):  # it may be lost already
                self._runner.call(lambda now: self._client.ask_path(self._path, now))

    def _tell_path(self, path: str, viewpoint: str | None) -> None:
        text = f"The domain does not know the path {printable(path)}."
        if viewpoint is not None:
            text = f"{printable(path)} leads to {printable(viewpoint)}."
        self._reporter.tell("path", text, path=path, viewpoint=viewpoint)

    def _tell_denied(self, denied: Denied) -> None:
        self._denied = denied
        failure = _refused(denied)
        gives_up = self._entered is None and self._timeout is None and _is_final(denied)
        self._reporter.tell(
            "denied",
            "" if gives_up else f"{failure.message} Still asking.",
            code=denied.code,
            reason=denied.reason,
            extra=denied.extra,
            hint=denied.hint,
        )
        if gives_up:
            raise failure

    # -- nodes

    def _tell_node(self, event: NodeAdded | NodeActivated | NodeMeasured | NodeRemoved) -> None:
        match event:
            case NodeAdded(node):
                self._labels[node.node_id] = label = label_of(node.type, node.node_id)
                self._tell_of("node_added", node.node_id, f"{label} is here.", type=name_of(node.type))
            case NodeActivated(node_id, address):
                where = where_is(address)
                self._tell_of("node_reached", node_id, f"{self._labels[node_id]} answers at {where}.", address=where)
            case NodeMeasured(node_id):
                ping, skew = event.ping_ms, event.skew_us
                text = f"{self._labels[node_id]}: ping {_milliseconds(ping)}, its clock is {_skew(skew)}."
                due = self._is_ping_due(node_id)
                self._tell_of("node_measured", node_id, text if due else "", ping_ms=ping, skew_us=skew)
            case NodeRemoved(node_id, why):
                self._pings_told.pop(node_id, None)
                text = f"{self._labels.pop(node_id)} {_REMOVALS[why]}."
                self._tell_of("node_removed", node_id, text, reason=why.name.lower())

    def _tell_of(self, event: str, node_id: bytes, text: str, **facts: object) -> None:
        self._reporter.tell(event, text, node=uuid_text(node_id), **facts)

    def _is_ping_due(self, node_id: bytes) -> bool:
        """A table shows every ping; lines would be too many."""
        now = time.monotonic()
        if self._has_table or now < self._pings_told.get(node_id, 0.0):
            return False
        self._pings_told[node_id] = now + _PINGS_EVERY
        return True

    def _forget_nodes(self) -> None:
        self._labels.clear()
        self._pings_told.clear()

    def _show_table(self) -> None:
        now = time.monotonic()
        if now >= self._table_at:
            self._table_at = now + _TABLE_EVERY
            nodes = self._runner.call(lambda _: self._client.nodes)
            rows: Rows = [_HEADING, *map(_row, nodes.values())] if nodes else ()
            self._has_table = self._reporter.show(rows)

    # -- the end

    def _nobody(self) -> CommandFailed:
        waited = PATIENCE if self._timeout is None else self._timeout
        if self._runner.call(lambda _: self._is_answered()):
            text = (
                f"The domain at {self._where} answers, but did not let us in for {waited:g} s: {self._advice.silent}."
            )
            return CommandFailed(Exit.REFUSED, text)
        text = f"No domain answered at {self._where} for {waited:g} s: {self._advice.nobody}."
        return CommandFailed(Exit.NOBODY, text)

    def _is_answered(self) -> bool:
        """An ice-server may answer, too, but only the domain's answer leads to where it is asked to let us in."""
        return self._client.connection.state is ConnectionState.CONNECTING and self._client.stats.packets_received > 0

    def _ended(self, closed: Closed) -> CommandFailed:
        if closed.cause is CloseCause.UNREACHABLE:
            return CommandFailed(Exit.NOBODY, f"Cannot find {self._where} ({closed.detail}): check the name.")
        return self._nobody() if self._denied is None else _refused(self._denied)


def _refused(denied: Denied) -> CommandFailed:
    """Why the domain does not let us in, and what to do about it."""
    reason = printable(denied.reason).rstrip(". ") or f"code {denied.code}"
    extra = f" (it names {printable(denied.extra)})" if denied.extra else ""
    hint = denied.hint or "ask its owner"
    option = next((option for code, option in _OPTIONS.items() if code == denied.code), "")
    advice = f"{hint[:1].upper()}{hint[1:]}{option}"
    return CommandFailed(Exit.REFUSED, f'The domain refuses us: "{reason}"{extra}. {advice}.')


def _is_final(denied: Denied) -> bool:
    return any(code == denied.code and code.hard for code in DenialReason)


def _listed(bits: int) -> str:
    return ", ".join(permissions_of(bits)) or "nothing"


def _row(node: NodeInfo) -> tuple[str, ...]:
    return (
        label_of(node.type, node.node_id),
        where_is(node.active or node.public or node.local),
        "" if node.ping_ms is None else _milliseconds(node.ping_ms),
        "" if node.skew_us is None else _skew(node.skew_us),
        "reached" if node.active else "reaching",
    )


def _milliseconds(ping: int) -> str:
    return f"{ping} ms" if ping else "under 1 ms"


def _skew(skew: int) -> str:
    return f"{abs(skew) / 1000:.1f} ms {'behind' if skew < 0 else 'ahead'}"
