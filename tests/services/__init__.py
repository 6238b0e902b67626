"""Real servers for tests: started on a free port in a folder of their own, stopped and removed afterwards.

Each can be hurt while tests run: `freeze`, `thaw`, `kill`, `start`, `restart` of `Server`.
"""

from tests.services.amqp import rabbitmq
from tests.services.postgresql import Postgres, postgres
from tests.services.prometheus import prometheus, promtool
from tests.services.server import Server, ServiceMissing
from tests.services.valkey import Watched, embedded_broker, redis_server, watched_redis

__all__ = [
    "Postgres",
    "Server",
    "ServiceMissing",
    "Watched",
    "embedded_broker",
    "postgres",
    "prometheus",
    "promtool",
    "rabbitmq",
    "redis_server",
    "watched_redis",
]
