"""A Prefect flow of one task that does nothing. Runs in Prefect's own environment, against a server of the bench's own.

For every line on standard input, a count, it runs the flow so many times, one after another, and prints the
milliseconds of each as a JSON list.
"""

import json
import sys
import time

from prefect import flow, task


@task
def nothing() -> int:
    return 1


@flow
def one() -> int:
    return nothing()


if __name__ == "__main__":
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begun = time.perf_counter()
            one()
            times.append((time.perf_counter() - begun) * 1000)
        print(json.dumps(times), flush=True)
