# refused: ValueError: t: two rows for S.A, DUE
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.DUE, S.B, ref="x"),Row(S.A, I.DUE, ref="x"),))
