"""`make bench`: every benchmark, one after another, each in a process of its own; ratios taken in one run.

A single one: `python -m bench.listener` (ami_parse, latency, lookup, push).
"""

import subprocess
import sys

BENCHMARKS = ("bench.ami_parse", "bench.listener", "bench.latency", "bench.lookup", "bench.push")


def main() -> int:
    failed = 0
    for name in BENCHMARKS:
        print(f"\n{name}", flush=True)
        failed += subprocess.run([sys.executable, "-m", name], check=False).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
