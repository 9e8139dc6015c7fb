"""What the fault tests share: the program, the shim, small runs, and whether two run folders hold the same run."""
import csv
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = HERE.parents[1] / "build/release/meander"
SECONDS = 300  # of one command; most take a tenth of a second, `toy` half a minute

# Small runs with a checkpoint every few steps: all that a run folder holds is written many times in a moment. Runs end
# at a multiple of the evaluation interval, because a last evaluation elsewhere would show in one that goes on.
LOOP = {"start_steps": 25, "evaluation_interval": 30, "evaluation_episodes": 1, "log_interval": 10,
        "checkpoint_interval": 10, "time_limit": 20, "replay_capacity": 500}
SMALL = {
    "sac": {"batch_size": 8, "width": 8},
    "mfpo": {"batch_size": 8, "actor_width": 8, "critic_width": 8, "policy_proposals": 2, "gaussian_proposals": 2,
             "sampling_steps": 1, "atoms": 11},
}


def settings(algorithm, **more):
    words = []
    for key, value in {**LOOP, **SMALL[algorithm], **more}.items():
        words += ["--set", f"{key}={value}"]
    return words


def train_command(algorithm, environment, steps, out, seed=0, threads=1, **more):
    return ["train", "--algo", algorithm, "--env", environment, "--steps", str(steps), "--seed", str(seed),
            "--threads", str(threads), "--out", out, *settings(algorithm, **more)]


def resume_command(folder, steps):
    return ["train", "--resume", folder, "--steps", str(steps), "--threads", "1"]


class Outcome:
    """Of one command: status (negative: the signal; None: it hung), output, and the lines on standard error."""

    def __init__(self, status, output, complaint):
        self.status, self.output = status, output
        self.complaint = [line for line in complaint.split("\n") if line]

    def __str__(self):
        what = "hung" if self.status is None else f"status {self.status}"
        return f"{what}: " + " | ".join(self.complaint)[:300]


def run(program, words, folder, environment=None, output=None):
    """Runs the program in `folder`; standard output goes to the file `output`, if one is given."""
    to = open(output, "wb") if output else subprocess.PIPE
    try:
        done = subprocess.run([str(program), *words], cwd=folder, env={**os.environ, **(environment or {})}, stdout=to,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=SECONDS)
        return Outcome(done.returncode, (done.stdout or b"").decode(errors="replace"),
                       done.stderr.decode(errors="replace"))
    except subprocess.TimeoutExpired:
        return Outcome(None, "", "")
    finally:
        if output:
            to.close()


def must(program, words, folder, **more):
    """Runs what has to succeed, for instance undisturbed."""
    outcome = run(program, words, folder, **more)
    if outcome.status != 0:
        sys.exit(f"{' '.join(map(str, words))}: {outcome}")
    return outcome


# ---- the shim -------------------------------------------------------------------------------------------------------

class Operation:
    """What the shim saw. `result`: 0 done, -1 cut in half, else the errno it was made to fail with."""

    def __init__(self, fields, data):
        number, kind, result, inode, offset, length, self.path, self.second = fields
        self.number, self.kind, self.result, self.inode = int(number), kind, int(result), int(inode)
        self.offset, self.length, self.data = int(offset), int(length), data

    def __str__(self):
        """Without what differs from run to run: a time, a random suffix."""
        names = [os.path.basename(name) for name in (self.path, self.second) if name]
        names = [re.sub(r"(tfevents)\.\d+|(\.npz)\.\w{6}$", r"\1\2", name) for name in names]
        return f"{self.kind} {' to '.join(names)}"


class Shim:
    def __init__(self, scratch):
        self.library = pathlib.Path(scratch) / "shim.so"
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            sys.exit("the shim needs a C compiler: apt-get install gcc")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", self.library, HERE / "shim.c", "-ldl"], check=True)

    def environment(self, folder, at=0, error=0, short=False, onwards=False, kinds=(), ignore=()):
        """For a run on `folder`; its counter and record lie beside it."""
        counter, record = f"{folder}.counter", f"{folder}.record"
        pathlib.Path(counter).write_bytes(bytes(8))
        pathlib.Path(record).unlink(missing_ok=True)
        return {"LD_PRELOAD": str(self.library), "FAULTS_FOLDER": str(folder), "FAULTS_COUNTER": counter,
                "FAULTS_RECORD": record, "FAULTS_AT": str(at), "FAULTS_ERROR": str(error),
                "FAULTS_SHORT": str(int(short)), "FAULTS_ONWARDS": str(int(onwards)), "FAULTS_KINDS": ",".join(kinds),
                "FAULTS_IGNORE": ",".join(ignore)}

    @staticmethod
    def record(folder):
        path = pathlib.Path(f"{folder}.record")
        text, place, operations = path.read_bytes() if path.exists() else b"", 0, []
        while place < len(text):
            end = text.index(b"\n", place)
            fields = text[place:end].decode().split("\t")
            place = end + 1
            length = int(fields[5]) if fields[1] == "write" and fields[2] == "0" else 0
            operations.append(Operation(fields, text[place:place + length]))
            place += length
        return operations


def scratch_folder():
    """In memory where that is possible: thousands of runs would wear a disk, and wait for its flushes."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="meander-faults-", dir=memory)


# ---- the same run? --------------------------------------------------------------------------------------------------

# Of a checkpoint: what depends on the clock, or on the length of numbers that do.
OF_THE_CLOCK = {"wall_seconds", "metrics_bytes", "events", "events_bytes", "version", "commit", "config"}
OF_THE_CLOCK_COLUMNS = {"wall_seconds", "updates_per_second"}


def safetensors(data):
    """(metadata, {name: (dtype, shape, bytes)}) of a file's bytes; ValueError if it is damaged."""
    if len(data) < 8:
        raise ValueError("shorter than 8 bytes")
    length = struct.unpack("<Q", data[:8])[0]
    if length > len(data) - 8:
        raise ValueError("the header is cut off")
    header = json.loads(data[8:8 + length])
    metadata, body = header.pop("__metadata__", {}), data[8 + length:]
    if max((entry["data_offsets"][1] for entry in header.values()), default=0) != len(body):
        raise ValueError("not as long as its header says")
    return metadata, {name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
                      for name, entry in header.items()}


def checkpoint_step(data):
    try:
        return int(safetensors(data)[0]["step"])
    except (ValueError, KeyError, UnicodeDecodeError):
        return None


def table(path):
    with open(path, newline="") as file:
        return [{key: value for key, value in row.items() if key not in OF_THE_CLOCK_COLUMNS}
                for row in csv.DictReader(file)]


def fields(data):
    """(number, value) of each field of a protocol buffer's message."""
    def varint(place):
        value = shift = 0
        while True:
            value |= (data[place] & 127) << shift
            place, shift = place + 1, shift + 7
            if data[place - 1] < 128:
                return value, place
    place = 0
    while place < len(data):
        key, place = varint(place)
        length = {1: 8, 5: 4}.get(key & 7)
        if key & 7 == 0:
            value, place = varint(place)
        else:
            if length is None:
                length, place = varint(place)
            value, place = data[place:place + length], place + length
        yield key >> 3, value


def events(folder):
    """[step, {tag: bytes of the value}] of TensorBoard's event files; ValueError where a record is cut off."""
    found = []
    for path in sorted(pathlib.Path(folder).glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            length = int.from_bytes(data[place:place + 8], "little")
            event, place = data[place + 12:place + 12 + length], place + 16 + length
            if place > len(data):
                raise ValueError(f"{path.name}: its last record is cut off")
            event = dict(fields(event))
            values = [dict(fields(value)) for number, value in fields(event.get(5, b"")) if number == 1]
            if values:
                found.append([event.get(2, 0), {v[1].decode(): v[2] for v in values if v[1].decode() not in
                                                OF_THE_CLOCK_COLUMNS}])
    return found


def difference(folder, wanted):
    """What differs between two finished run folders, to the bit, beside times; '' if nothing does."""
    there, expected = pathlib.Path(folder), pathlib.Path(wanted)
    try:
        for name in ("last.safetensors", "best.safetensors"):
            metadata, tensors = safetensors((there / name).read_bytes())
            right, right_tensors = safetensors((expected / name).read_bytes())
            for key in sorted((metadata.keys() | right.keys()) - OF_THE_CLOCK):
                if metadata.get(key) != right.get(key):
                    return f"{name}: {key} is {metadata.get(key)}, not {right.get(key)}"
            for tensor in sorted(tensors.keys() | right_tensors.keys()):
                if tensors.get(tensor) != right_tensors.get(tensor):
                    return f"{name}: tensor {tensor} differs"
        for what, read in (("metrics.csv", lambda f: table(f / "metrics.csv")), ("event file", events)):
            rows, right_rows = read(there), read(expected)
            if rows != right_rows:
                return f"{what} differs ({len(rows)} rows, {len(right_rows)} expected)"
    except (OSError, ValueError, IndexError, KeyError, csv.Error) as problem:
        return re.sub(r"/\S*/", "", str(problem))
    return ""


def resumed_after(outcome):
    """The step after which a run went on; 0 if it began again."""
    found = re.search(r"going on in .* after step ([\d,]+)", outcome.output)
    return int(found[1].replace(",", "")) if found else 0


def finish(program, scratch, folder, steps, afresh, wanted):
    """Goes on with a run after whatever happened, or starts it again if it says that it cannot go on, and compares its
    end. Returns (what is wrong or '', the step it went on after)."""
    first = run(program, resume_command(folder, steps), scratch)
    if first.status == 0:
        return difference(pathlib.Path(scratch) / folder, wanted), resumed_after(first)
    if first.status != 2 or len(first.complaint) != 1:
        return f"--resume: {first}", 0
    if "is at step" in first.complaint[0]:   # it was done already
        return difference(pathlib.Path(scratch) / folder, wanted), steps
    again = run(program, afresh, scratch)
    if again.status != 0:
        return f"neither --resume ({first}) nor a new run ({again})", 0
    return difference(pathlib.Path(scratch) / folder, wanted), 0


def kind_of(problem):
    """A problem without its numbers: the same for others of its kind."""
    return re.sub(r"\d[\d,.]*", "N", problem)
