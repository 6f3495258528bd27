# refused: Cannot infer value of type parameter "P" of "Row"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.DUE, S.B, Thing.count, ref="x"),))
