from base import *

def both(thing: Thing, what: bytes | int) -> None: ...
Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED | I.COUNTED, S.B, Thing.bump, both, ref="x"),))
