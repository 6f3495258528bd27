"""What options and arguments of ``sansproto domain`` say: addresses of places, tables of versions, bans."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from sansproto.overte import VERSIONS, Banned, PacketType, VersionTable

from .domain_words import is_ip
from .exits import CommandFailed, Exit
from .keys import read_file

SCHEME = "hifi://"
_MAX_TABLE = 1 << 16  # bytes
_MAX_PATH = 1024  # bytes


def parse_place(text: str) -> tuple[str, str]:
    """``hifi://HOST[:PORT][/PATH]``, or what stands behind the scheme alone: address and path, which may be empty."""
    scheme, rest = text[: len(SCHEME)].lower(), text[len(SCHEME) :]
    if scheme != SCHEME:
        return text, ""
    where, slash, path = rest.partition("/")
    if not where:
        raise CommandFailed(Exit.USAGE, f"There is no address in {text}: give hifi://HOST[:PORT][/PATH].")
    if not _is_host(where):
        text = f"{where} is the name of a place, not an address: give its address, hifi://HOST[:PORT][/PATH]."
        raise CommandFailed(Exit.USAGE, text)
    if len(path.encode("utf-8", "replace")) >= _MAX_PATH:
        raise CommandFailed(Exit.USAGE, f"That path is too long: give one of at most {_MAX_PATH:,} bytes.")
    return where, slash + path


def _is_host(where: str) -> bool:
    """Names of places have neither dots nor ports."""
    return where == "localhost" or "." in where or ":" in where or is_ip(where)


def versions_of(name: str, table: Path | None) -> VersionTable:
    """The table of a release, with the versions that a file of JSON has for some types, by their numbers."""
    if name not in VERSIONS:
        known = " or ".join(VERSIONS)
        raise CommandFailed(Exit.USAGE, f"This protocol is not known: give --protocol {known}.")
    if table is None:
        return VERSIONS[name]
    data = read_file(table)
    try:
        if len(data) > _MAX_TABLE:
            raise ValueError("it is too large")
        told = json.loads(data)
        if not isinstance(told, dict) or not all(type(version) is int for version in told.values()):
            raise ValueError("it is not an object of numbers")
        return VERSIONS[name].evolve({PacketType(int(kind)): told[kind] for kind in told}, name=table.stem)
    except (ValueError, RecursionError) as error:
        form = 'give JSON such as {"57": 18}, the number of a type of packets and its version'
        raise CommandFailed(Exit.FILES, f"{table} is not a table of versions ({error}): {form}.") from error


def bans_of(texts: Iterable[str] | None) -> frozenset[Banned]:
    """Who is kept out."""
    try:
        return frozenset(map(Banned.read, texts or ()))
    except ValueError as error:
        text = f"That is not a ban ({error}): give name:NAME, machine:FINGERPRINT or host:ADDRESS."
        raise CommandFailed(Exit.USAGE, text) from error
