"""Virtual environments with the packages that a file of requirements pins."""
import os
import platform
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class NotInstalled(Exception):
    """Why there is none, in one line."""


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def python_in(folder, requirements, install, say):
    """The interpreter of the environment in `folder`; raises NotInstalled. One of other requirements, or of another
    Python, is not used. install: a text, why none is made, or None: it is made. say: is told before that."""
    python, stamp = os.path.join(folder, "bin", "python"), os.path.join(folder, "stamp")
    with open(requirements) as file:
        wanted = platform.python_version() + "\n" + file.read()
    if os.path.exists(stamp) and os.path.exists(python):
        with open(stamp) as file:
            if file.read() == wanted:
                return python
    if install:
        raise NotInstalled(f"not installed: {install}")
    say(f"installing {os.path.basename(requirements)} to {os.path.relpath(folder, ROOT)}")
    for command in ([sys.executable, "-m", "venv", "--clear", folder],
                    [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir", "--quiet",
                     "--requirement", requirements]):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace")
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if line.upper().startswith("ERROR")]
            raise NotInstalled(f"not installed: {last_line(errors[0] if errors else done.stdout)}")
    with open(stamp, "w") as file:
        file.write(wanted)
    return python
