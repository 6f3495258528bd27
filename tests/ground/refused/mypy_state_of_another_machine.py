# refused: Argument 3 to "Row" has incompatible type "S2"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED, S2.A, ref="x"),))
