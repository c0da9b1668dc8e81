"""Runs a partition's views in a process of its own, to be killed: `... URL BATCH`."""

import asyncio
import sys

from projections.runner import Runner, RunnerLimits

if __name__ == "__main__":
    limits = RunnerLimits(batch_max=int(sys.argv[2]), pause_s=0.0, poll_s=0.05)
    print("ready", flush=True)
    asyncio.run(Runner(sys.argv[1], 0, limits=limits).run())
