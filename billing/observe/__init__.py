"""What the service tells about itself: logs.py, metrics.py, and middleware.py, which watches every request.

No customer's id in a label; no key, body or query string in a log.
"""

from billing.observe.logs import configure_logging, request_id
from billing.observe.metrics import events_taken

__all__ = ["configure_logging", "events_taken", "request_id"]
