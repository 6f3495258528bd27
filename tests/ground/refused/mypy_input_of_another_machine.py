# refused: Argument 2 to "Row" has incompatible type "Input[S2, bytes]"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I2.OTHER, S.B, Thing.adopt, ref="x"),))
