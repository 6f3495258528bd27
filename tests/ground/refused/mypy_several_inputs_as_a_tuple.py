# refused: Argument 2 to "Row" has incompatible type "tuple[Input[S, bytes], Input[S, int]]"; expected "Inputs
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, (I.LISTED, I.COUNTED), S.B, Thing.bump, ref="x"),))
