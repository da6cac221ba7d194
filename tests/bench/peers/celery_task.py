"""A Celery application with one task that does nothing, and a client of it. Runs in Celery's own environment.

For every line on standard input, a count, it calls the task so many times, one after another, waits for each result,
and prints the milliseconds of each as a JSON list.
"""

import json
import os
import sys
import time

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_REDIS"], backend=os.environ["BENCH_REDIS"])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)


@app.task(name="nothing")
def nothing() -> int:
    return 1


if __name__ == "__main__":
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begun = time.perf_counter()
            nothing.delay().get(timeout=60)
            times.append((time.perf_counter() - begun) * 1000)
        print(json.dumps(times), flush=True)
