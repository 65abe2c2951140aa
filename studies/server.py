"""How a database server is reached so that nothing waits for ever."""

import os
import socket
from typing import Any

from studies.lock import ServerLock

CONNECT = 10  # seconds to reach a server
STATEMENT = 30  # seconds that a server may work on one statement
IDLE = 60  # seconds that a process may pause inside a transaction
ALIVE = {"idle": 10, "interval": 10, "count": 3}  # both ends notice a silent loss of the other after 40 seconds


def server_settings(backend: str, lock: ServerLock | None) -> dict[str, Any]:
    """What SQLAlchemy needs to reach a server so that nothing waits for ever."""
    settings: dict[str, Any] = {"pool_pre_ping": True}
    if lock is not None:  # the one connection holds the lock
        settings |= {"pool_events": [(lock.connected, "connect")], "pool_size": 1, "max_overflow": 0}
    if backend != "postgresql":
        return settings
    server = {
        "statement_timeout": f"{STATEMENT}s",
        "lock_timeout": f"{STATEMENT - 5}s",  # earlier, since it names the reason
        "idle_in_transaction_session_timeout": f"{IDLE}s",
        # The server has to notice too that a machine is gone, or its lock would stay for two hours.
        **{f"tcp_keepalives_{name}": seconds for name, seconds in ALIVE.items()},
    }
    arguments = {
        "connect_timeout": CONNECT,
        "keepalives": 1,
        **{f"keepalives_{name}": seconds for name, seconds in ALIVE.items()},
        "tcp_user_timeout": 1000 * STATEMENT,  # milliseconds; keep-alives do not speak while an answer is due
        "options": " ".join(f"-c {name}={value}" for name, value in server.items()),
        # Another process names the owner of a lock so. PostgreSQL keeps 63 bytes.
        "application_name": f"process {os.getpid()} on {socket.gethostname()} (cifar-search)"[:63],
    }
    return settings | {"connect_args": arguments}
