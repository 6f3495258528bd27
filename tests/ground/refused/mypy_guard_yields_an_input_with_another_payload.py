# refused: Argument 1 to "give" of "Guards" has incompatible type "Input[S, bytes]"; expected "Input[S, int]"
from base import *

Guards.of(Thing, S, bytes, "data").make(Thing.parse, "no", ref="x").give(I.LISTED)
