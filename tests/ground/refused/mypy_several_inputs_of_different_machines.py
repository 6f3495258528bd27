# refused: Unsupported operand types for | ("Input[S, bytes]" and "Input[S2, bytes]")
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED | I2.OTHER, S.B, Thing.bump, ref="x"),))
