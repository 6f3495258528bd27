# refused: Argument 1 to "give" of "Guards" has incompatible type "Input[S2, bytes]"; expected "Input[S, bytes]"
from base import *

Guards.of(Thing, S, bytes, "data").give(I2.OTHER)
