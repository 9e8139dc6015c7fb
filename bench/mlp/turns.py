"""The measurement: contenders asked in turns, A B C ... C B A, for one case after the other; and the machine itself."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers"))
from participants import DEPS, Unavailable, say  # noqa: E402
from processes import Process  # noqa: E402

GREETING_SECONDS = 300
STARTS = 4   # of a contender that ends again and again


class Machine:
    """peer_machine: the ceilings, the loop that shows the machine's drift, and the file of numbers of a case."""

    def __init__(self, options, threads):
        self.process = Process([os.path.join(options.programs, "peer_machine"), "--threads", str(threads)],
                               sorted(os.sched_getaffinity(0))[-threads:], dict(os.environ),
                               os.path.join(DEPS, "logs", f"machine-{threads}.txt"))
        self.cases = self.process.read(GREETING_SECONDS)["cases"]

    def microseconds(self, case, samples=9, seconds=0.01):
        answer = self.process.request({"case": case, "samples": samples, "seconds": seconds})
        return answer["us"], answer.get("flop", 0) + answer.get("bytes", 0)

    def rate(self, case):
        """The best of some samples, flop or bytes a nanosecond; None without such instructions."""
        try:
            times, work = self.microseconds(case)
        except Unavailable:
            return None
        return work / min(times) / 1e3

    def control(self):
        """Microseconds of a fixed number of multiply-adds."""
        return min(self.microseconds("machine/fma_fp32", 5, 0.002)[0])

    def write(self, case, path, limit):
        """Writes the numbers of a case; -> what float32 deviates by, flop, bytes."""
        return self.process.request({"case": case, "write": path}, limit)

    def stop(self):
        self.process.stop()


class Turns:
    """Processes of the contenders, started when first asked and again after one has ended."""

    def __init__(self, contenders, options, threads, python):
        self.contenders, self.options, self.threads, self.python = contenders, options, threads, python
        self.running, self.starts, self.about, self.refused = {}, {}, {}, {}

    def process(self, contender):
        who = contender.who
        if who in self.refused:
            raise self.refused[who]
        running = self.running.get(who)
        if running and not running.failed:
            return running
        try:
            if self.starts.get(who, 0) == STARTS:
                raise Unavailable(f"it ended {STARTS} times: {running.failed}")
            process = contender.start(self.options, self.threads, self.python)
            self.about[who] = process.read(GREETING_SECONDS)
        except Unavailable as reason:
            self.refused[who] = reason
            say(f"{who}: {reason}")
            raise
        self.starts[who] = self.starts.get(who, 0) + 1
        self.running[who] = process
        return process

    def begin(self):
        """Starts all, so that what is missing is said at once."""
        for contender in self.contenders:
            try:
                self.process(contender)
            except Unavailable:
                pass

    def measure(self, case, what, data, rows, control):
        """Fills in rows, a dictionary of Row by who, and calls control() once each time through."""
        lacking = [who for who in rows if who in self.about and what not in self.about[who]["passes"]]
        for who in lacking:
            del rows[who]   # an empty cell
        order = [contender for contender in self.contenders if contender.who in rows]
        for _ in range(self.options.rounds):
            for turn in order, order[::-1]:
                for contender in turn:
                    self.visit(contender, case, data, rows[contender.who])
                control()

    def visit(self, contender, case, data, row):
        if row.reason:
            return
        request = {"case": case, "data": data, "samples": self.options.samples, "seconds": self.options.seconds}
        try:
            answer = self.process(contender).request(request, self.options.time_limit)
        except Unavailable as reason:
            row.reason, row.visits = str(reason), []
            return
        row.visits.append(answer["us"])
        row.deviation = max(row.deviation or 0.0, answer["deviation"])

    def restart(self):
        """The next to be asked are new processes."""
        self.stop()
        self.running, self.starts = {}, {}

    def stop(self):
        for process in self.running.values():
            process.stop()
