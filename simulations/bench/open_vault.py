"""A process that does what the page does with its vaults: unlock, list all, say what memory that takes."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from node.keyholder import unlock
from node.opening import open_replica
from node.secret_keys import SecretKeys
from node.vault import Vaults


def main(folder: Path, password: str) -> float:
    """Megabytes resident."""
    replica = open_replica(folder)
    me = unlock(replica, SecretKeys(folder), username="anna", password=password)
    vaults = Vaults(replica, me, random_bytes=secrets.token_bytes, clock=lambda: 0)
    shown = vaults.items(limit=50)
    status = Path("/proc/self/status").read_text("ascii")
    size = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    del shown
    return size


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.stdin.read()))
