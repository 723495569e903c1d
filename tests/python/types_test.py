"""The package has types that hold, and its examples keep to them."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

MYPY = shutil.which("mypy", path="/usr/bin:" + os.environ.get("PATH", ""))
if MYPY is None:
    sys.exit(77)  # tools/setup --ci installs it

FOLDER = pathlib.Path(os.environ["PLIMSOLL_SOURCE_DIR"]) / "tools/python"
with tempfile.TemporaryDirectory() as cache:
    for asked in (["plimsoll"], ["examples/scheduler.py"]):
        command = [MYPY, "--strict", "--cache-dir", cache, *asked]
        if code := subprocess.run(command, cwd=FOLDER, check=False).returncode:
            sys.exit(code)
