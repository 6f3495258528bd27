from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED | I.COUNTED | I.DUE, S.B, Thing.bump, when=Thing.ready, ref="x"),))
