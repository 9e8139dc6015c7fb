"""The rows of the result and how they are printed."""
import statistics


class Row:
    def __init__(self, case, who, threads):
        self.case, self.who, self.threads = case, who, threads
        self.times, self.reason, self.check = [], None, None
        self.flop = self.bytes = self.ratio = self.median = None

    @property
    def has_tail(self):
        """Of calls timed one by one, enough for a 99th percentile."""
        return self.case.startswith("act/") or self.case.startswith("mfpo_update/") and len(self.times) >= 100

    def rate(self, work):
        return work / self.median / 1e3 if work and self.median else None  # per nanosecond

    def json(self, peak):
        if self.reason:
            return {"case": self.case, "who": self.who, "threads": self.threads, "not_measured": self.reason}
        times = sorted(self.times)
        row = {"case": self.case, "who": self.who, "threads": self.threads, "median_us": self.median,
               "min_us": times[0], "max_us": times[-1], "mean_us": statistics.fmean(times), "samples": len(times)}
        if self.has_tail:
            row |= {"p50_us": self.median, "p99_us": quantile(times, 0.99)}
        row |= {"gflops": self.rate(self.flop), "gbytes_per_s": self.rate(self.bytes),
                "share_of_fma_peak": self.share(peak.get("fma_fp32")),
                "share_of_sgemm_peak": self.share(peak.get("sgemm")), "ratio": self.ratio, "check": self.check}
        return {key: rounded(value) for key, value in row.items() if value is not None}

    def share(self, peak):
        return self.rate(self.flop) / peak if peak and self.flop else None


def rounded(value):
    return float(f"{value:.6g}") if isinstance(value, float) else value


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def microseconds(value):
    return f"{value:.2f}" if value < 100 else f"{value:.1f}" if value < 1e4 else f"{value:.0f}"


def print_rows(rows, peaks):
    for threads in sorted({row.threads for row in rows}):
        peak = peaks.get(threads, {})
        for case in dict.fromkeys(row.case for row in rows if row.threads == threads):
            here = [row for row in rows if row.threads == threads and row.case == case]
            tails = any(row.has_tail for row in here)
            columns = ["median", "mean", "p99", "max"] if tails else ["median", "min", "max"]
            print(f"\n{case}, {threads} thread{'s' * (threads > 1)}, us a call")
            titles = columns + ["x meander", "GFLOP/s", "of FMA", "GB/s"] + ["calls"] * tails
            print(f"  {'who':20}" + "".join(f"{title:>11}" for title in titles))
            for row in here:
                if row.reason:
                    print(f"  {row.who:20}{row.reason}")
                    continue
                times = sorted(row.times)
                numbers = ([row.median, statistics.fmean(times), quantile(times, 0.99), times[-1]] if tails
                           else [row.median, times[0], times[-1]])
                share = row.share(peak.get("fma_fp32"))
                cells = [microseconds(number) for number in numbers]
                rates = (row.ratio, ".2f"), (row.rate(row.flop), ".1f"), (share, ".0%"), (row.rate(row.bytes), ".1f")
                cells += [f"{value:{form}}" if value is not None else "" for value, form in rates]
                cells += [str(len(times))] * tails
                print(f"  {row.who:20}" + "".join(f"{cell:>11}" for cell in cells))
