# refused: Argument 1 to "Timer" has incompatible type "Input[S, int]"; expected "Input[S, None]"
from base import *

Timer(I.COUNTED, Delays.resend)
