from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row((S.A, S.B), I.COUNTED, None, Thing.count, when=Thing.big, cancel=(T.DUE,), ref="x"),))
