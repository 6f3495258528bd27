# refused: Argument "arm" to "Row" has incompatible type "tuple[Timer[Other, S2]]"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.DUE, S.B, arm=(T2.DUE,), ref="x"),))
