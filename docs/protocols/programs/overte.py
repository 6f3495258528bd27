"""A bot visits a domain. Here the domain is one of ours; replace ``at`` with the address of a real one."""

from sansproto.overte import SOCKET, Connected, Denied, DomainClient, DomainServer, PathAnswered, Policy
from sansproto_threads import run, system_entropy, wall_epoch

policy = Policy(paths={"/": "/0,0,0/0,0,0,1"})
domain_id = system_entropy(16, purpose="the id of the domain")
server = DomainServer(domain_id=domain_id, entropy=system_entropy, wall_epoch=wall_epoch(), policy=policy)
with run(server, sockets={SOCKET: ("127.0.0.1", 0)}) as domain:
    at = domain.addresses[SOCKET]
    bot = DomainClient(host=at.host, port=at.port, interest=b"M", entropy=system_entropy, wall_epoch=wall_epoch())
    with run(bot, sockets={SOCKET: ("", 0)}) as runner:
        runner.call(bot.connect)
        for event in runner:
            match event:
                case Connected():
                    print("connected")
                    runner.call(bot.ask_path, "/")
                case Denied(reason=reason):
                    print("denied:", reason)
                case PathAnswered(path, viewpoint):
                    print("the place", path, "is at", viewpoint)
                    runner.call(bot.close)  # a real bot stays
