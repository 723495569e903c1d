"""A `plimsoll serve` of this build, as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess


class ServerProcess:
    def __init__(self, *arguments: str, listen: str = "127.0.0.1:0", blocks: int = 10) -> None:
        program = os.path.join(os.environ["PLIMSOLL_BINARY_DIR"], "bin", "plimsoll")
        self.process = subprocess.Popen(
            [program, "serve", "--device", "none", "--blocks", str(blocks), "--listen", listen,
             "--http", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if found := re.search(r"; gRPC on ([^,;\s]+)", line):
                self.address = found.group(1)
                return
        raise AssertionError(f"the server ended: {said}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
