# refused: AttributeError: type object 'Delays' has no attribute 'resnd'
from base import *

Timer(I.DUE, Delays.resnd)
