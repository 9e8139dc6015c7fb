"""Virtual environments with the packages that a text of requirements pins."""
import os
import platform
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class NotInstalled(Exception):
    """Why there is none, in one line."""


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def python_in(folder, requirements, install, say, gigabytes=1):
    """The interpreter of the environment in `folder` with what the text `requirements` names, a package a line; raises
    NotInstalled. One of other requirements, or of another Python, is not used. install: a text, why none is made, or
    None: it is made, if the disk has room for so many gigabytes and one more. say: is told before that."""
    python, stamp = os.path.join(folder, "bin", "python"), os.path.join(folder, "stamp")
    wanted = platform.python_version() + "\n" + requirements
    if os.path.exists(stamp) and os.path.exists(python):
        with open(stamp) as file:
            if file.read() == wanted:
                return python
    if install:
        raise NotInstalled(f"not installed: {install}")
    names = " ".join(line for line in requirements.split("\n") if line and not line.startswith("#"))
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        free = shutil.disk_usage(os.path.dirname(folder)).free / 1e9
        where = os.path.relpath(folder, ROOT)
        if free < gigabytes + 1:
            raise NotInstalled(f"not installed: {names} would take {gigabytes:g} GB in {where}, {free:.1f} are free")
        say(f"installing {names} to {where}: about {gigabytes:g} GB, {free:.0f} GB are free")
        return make(folder, python, requirements, stamp, wanted)
    except BaseException as error:   # nothing half made stays, whatever ended it
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise NotInstalled(f"not installed: {error.strerror}") from None
        raise


def make(folder, python, requirements, stamp, wanted):
    pinned, scratch = os.path.join(folder, "requirements.txt"), os.path.join(folder, "scratch")
    for step in ([sys.executable, "-m", "venv", "--clear", folder],
                 [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir", "--quiet",
                  "--requirement", pinned]):
        done = subprocess.run(step, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", env=os.environ | {"TMPDIR": scratch} if step[0] == python
                              else None)
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if line.upper().startswith("ERROR")]
            raise NotInstalled(f"not installed: {last_line(errors[-1] if errors else done.stdout)}")
        if step[0] != python:
            os.mkdir(scratch)   # what pip unpacks lies on the disk whose room was asked for
            with open(pinned, "w") as file:
                file.write(requirements)
    shutil.rmtree(scratch, ignore_errors=True)
    with open(stamp, "w") as file:
        file.write(wanted)
    return python


def read_requirements(path):
    with open(path) as file:
        return file.read()
