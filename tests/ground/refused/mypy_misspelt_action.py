# refused: "type[Thing]" has no attribute "adoptt"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED, S.B, Thing.adoptt, ref="x"),))
