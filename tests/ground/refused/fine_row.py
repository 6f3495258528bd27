from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED, S.B, Thing.adopt, Thing.bump, when=Thing.ready, arm=(T.DUE, T.LATER), ref="x"),))
