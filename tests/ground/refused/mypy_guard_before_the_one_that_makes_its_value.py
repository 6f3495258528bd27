# refused: Argument 1 to "need" of "Guards" has incompatible type "Callable[[Thing, int], bool]"
from base import *

Guards.of(Thing, S, bytes, "data").need(Thing.big, "small", ref="x")
