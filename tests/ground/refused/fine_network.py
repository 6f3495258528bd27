from sansproto.testing.network import Conditions, VirtualNetwork

network = VirtualNetwork(seed=1, default=Conditions(latency=0.02, loss=0.1))
