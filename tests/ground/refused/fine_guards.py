from base import *

Guards.of(Thing, S, bytes, "data").make(Thing.parse, "no", ref="x").need(Thing.big, "small", ref="x").give(I.COUNTED)
