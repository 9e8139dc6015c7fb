#!/usr/bin/env python3
"""Protects what the pages say of the code: that what they link to and name is there.

    pages.py SOURCE [PROGRAM]    SOURCE: the checkout. PROGRAM: build/release/meander; if it is not there, commands
                                 are not checked

Of README.md, docs/*.md, bench/README.md and bench/results/*.md: links lead to a file and a heading of it; files in
backticks exist; what stands as `FILE`: `NAME` occurs in that file; the rows of a table have its columns; all quantities
and metrics of the algorithms stand in docs/algorithms.md and those it names exist; README.md is short; lines end by
column 120 where they can be broken; verbs, options, settings, algorithms and tasks of each ./meander command exist, and
settings that stand as `SETTING=VALUE`.
"""
import pathlib
import re
import shlex
import subprocess
import sys

README_LINES = 150
LINE = 120
SOURCES = {".h", ".cpp", ".cu", ".cuh", ".py", ".sh", ".cmake", ".md", ".txt", ".png", ".svg", ".json"}
# Not of this repository: made by a run or a build, brought by the set-up, or an include as a user writes it.
ELSEWHERE = ("runs/", ".deps/", "build/", "meander/")
NAMES_ELSEWHERE = {"log.txt", "curves.png", "distributions.png", "x.svg", "LICENSES_THIRD_PARTY.md", "metadata.json",
                   "dataset_states_to_obs.py"}


def pages(source):
    found = [source / "README.md", *sorted((source / "docs").glob("*.md")), source / "bench/README.md",
             *sorted((source / "bench/results").glob("*.md"))]
    return found


def blocks(text):
    """(number of the first line, the lines) of each fenced block."""
    inside, begin, lines = False, 0, []
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("```"):
            if inside:
                yield begin, lines
            inside, begin, lines = not inside, number + 1, []
        elif inside:
            lines.append(line)


def prose(text):
    """The text with fenced blocks blanked, lines where they were."""
    inside, out = False, []
    for line in text.split("\n"):
        fence = line.lstrip().startswith("```")
        inside ^= fence
        out.append("" if inside or fence else line)
    return "\n".join(out)


def anchors(path):
    """The anchors GitHub gives to a page's headings."""
    seen, result = {}, set()
    for line in prose(path.read_text()).split("\n"):
        if match := re.match(r"#{1,6} +(.*)", line):
            title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", match[1]).strip().lower()
            slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            result.add(f"{slug}-{count}" if count else slug)
    return result


class Check:
    def __init__(self, source):
        self.source, self.wrong, self.counts = source, [], {}

    def say(self, path, line, text):
        self.wrong.append(f"{path.relative_to(self.source)}:{line}: {text}")

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    # ---- links, files, names -----------------------------------------------------------------------------------------
    def links(self, path, text):
        found = [(m.start(), m[1]) for m in re.finditer(r"\]\(([^)\s]+)\)", text)]
        found += [(m.start(), m[1]) for m in re.finditer(r'<img src="([^"]+)"', text)]
        for at, target in found:
            if re.match(r"[a-z]+:", target):
                continue
            self.count("links")
            line = text.count("\n", 0, at) + 1
            file, _, anchor = target.partition("#")
            to = (path.parent / file).resolve() if file else path
            if not to.exists():
                self.say(path, line, f"the link leads nowhere: {target}")
            elif anchor and (to.suffix != ".md" or anchor not in anchors(to)):
                self.say(path, line, f"no heading for the link: {target}")

    def files(self, path, text):
        for match in re.finditer(r"`([^`]+)`", text):
            name = match[1]
            if not re.fullmatch(r"[\w.*{},+-]+(/[\w.*{},+-]+)*/?", name) or name.startswith(ELSEWHERE):
                continue
            first = name.split("/")[0]
            in_the_house = "/" in name and (self.source / first).is_dir()
            if not in_the_house and (pathlib.PurePath(name).suffix not in SOURCES or name in NAMES_ELSEWHERE):
                continue
            self.count("files")
            patterns = [name]
            if braces := re.search(r"\{([^}]*)\}", name):
                patterns = [name.replace(braces[0], part) for part in braces[1].split(",")]
            for pattern in patterns:
                if not any(list(base.glob(pattern.rstrip("/"))) for base in (self.source, path.parent)):
                    self.say(path, text.count("\n", 0, match.start()) + 1, f"no such file: {pattern}")

    def names(self, path, text):
        plain = re.sub(r"\[(`[^`]+`)\]\([^)]*\)", r"\1", text)
        for match in re.finditer(r"`([\w./-]+\.(?:h|cpp|cu|cuh|py))`(?::|\s\()\s*`([^`]+)`", plain):
            file, name = self.source / match[1], match[2]
            if not file.is_file():
                continue   # said above
            self.count("names")
            code = file.read_text()
            for part in name.replace("()", "").split("::"):
                if not re.search(rf"(?<!\w){re.escape(part)}(?!\w)", code):
                    self.say(path, plain.count("\n", 0, match.start()) + 1, f"no {part} in {match[1]}")
        # The rows of a table have its columns, and one of functions holds nothing else.
        column, width = None, 0
        for number, row in enumerate(plain.split("\n"), 1):
            cells = [c.strip() for c in row.strip().strip("|").split("|")] if row.startswith("|") else []
            if cells and width and len(cells) != width:
                self.say(path, number, f"{len(cells)} cells in a table of {width} columns")
            width = len(cells)
            if not cells:
                column = None
            elif "function" in cells and path.parent.name == "docs":
                column = cells.index("function")
            elif column is not None and not cells[0].startswith("---"):
                if not re.fullmatch(r"`[\w./-]+`: `[^`]+`", cells[column] if column < len(cells) else ""):
                    self.say(path, number, "the column function holds no `FILE`: `NAME`")

    # ---- what the algorithms report ----------------------------------------------------------------------------------
    def quantities(self):
        page = self.source / "docs/algorithms.md"
        text = prose(page.read_text())
        code = "\n".join(f.read_text() for f in sorted((self.source / "algos").glob("*.cpp")))
        tables = "".join(re.findall(r"Metric metrics_of_\w+\[\] = \{(.*?)\n\};", code, re.S))
        metrics = dict(re.findall(r'\{"([a-z0-9_]+)", "([a-z0-9_/]+)"', tables))
        reported = set(re.findall(r'\{"([a-z0-9]+/[a-z0-9_]+)", ', code)) | set(metrics.values())
        if len(metrics) < 30 or len(reported) < 60:
            self.say(page, 1, f"only {len(metrics)} metrics, {len(reported)} quantities found: how are they written?")
        column = {}
        for number, row in enumerate(text.split("\n"), 1):
            cells = [c.strip() for c in row.strip().strip("|").split("|")] if row.startswith("|") else []
            if "reported as" in cells:
                column = {what: cells.index(what) for what in ("reported as", "logged as")}
                continue
            if not cells:
                column = {}
            for what, at in column.items():
                for name in re.findall(r"`([^`]+)`", cells[at]):
                    known = reported if what == "reported as" else set(metrics)
                    if name not in known and name != "critic2":
                        self.say(page, number, f"nothing is {what.replace(' as', '')} as {name}")
        named = set(re.findall(r"`([a-z0-9_/]+)`", text))
        for name in sorted(reported | set(metrics)):
            self.count("quantities")
            series = re.fullmatch(r"(ess_(?:all|state)[/_])[1-8]", name)   # written "0 to 9"
            critic2 = re.sub("^critic2/", "critic1/", name)                # "and of critic2"
            if not series and name not in named and critic2 not in named:
                self.say(page, 1, f"{name} is reported or logged by an algorithm and missing here")

    # ---- commands ----------------------------------------------------------------------------------------------------
    def commands(self, program):
        asked = {}

        def ask(*arguments):
            if arguments not in asked:
                command = [program, *arguments]
                asked[arguments] = subprocess.run(command, capture_output=True, text=True, cwd=self.source)
            return asked[arguments]

        script = (self.source / "meander").read_text()
        subcommands = ask("--help").stdout.partition("Subcommands:")[2]
        verbs = {"fetch", *re.findall(r"^  ([a-z]+) {2,}", subcommands, re.M)}
        tasks = set(re.findall(r"^  (\S+) +\d+ ", ask("list").stdout, re.M))
        settings = {}

        def settings_of(algorithm):
            names = ["mfpo", "som", "mvp", "sac", "qc"] if algorithm is None else [algorithm]
            for name in names:
                if name not in settings:
                    text = ask("config", "--algo", name).stdout
                    settings[name] = set(re.findall(r"^([a-z_0-9]+) = ", text, re.M))
            return set().union(*(settings[name] for name in names))

        for path in pages(self.source):
            for line, words in commands(path.read_text()):
                self.count("commands")
                verb = words[0] if words else ""
                if verb not in verbs:
                    self.say(path, line, f"no verb '{verb}'")
                    continue
                if verb == "test":   # CTest's options
                    continue
                if verb == "bench":
                    known = self.bench(words)
                    if known is None:
                        self.say(path, line, f"no benchmark '{words[1]}'")
                        continue
                elif verb == "fetch":
                    known = script
                    families = (self.source / "envs/task_files.sh").read_text()
                    for word in words[1:]:
                        if f"fetch_{word}()" not in families:
                            self.say(path, line, f"nothing to fetch for '{word}'")
                else:
                    known = ask(verb, "--help").stdout
                for i, word in enumerate(words[1:], 1):
                    option = word.partition("=")[0]
                    if word.startswith("--") and not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", known):
                        self.say(path, line, f"{verb} has no option {option}")
                    if words[i - 1] == "--set" and verb not in ("bench", "fetch"):
                        algorithm = words[words.index("--algo") + 1] if "--algo" in words else None
                        if option not in settings_of(algorithm):
                            self.say(path, line, f"{algorithm or 'no algorithm'} has no setting {option}")
                    play_data = verb == "collect" and re.fullmatch("cube-[a-z]+-play", word)
                    if words[i - 1] == "--env" and not word.isupper() and word not in tasks and not play_data:
                        self.say(path, line, f"no task '{word}'")
                    if words[i - 1] == "--algo" and not word.isupper() and ask("config", "--algo", word).returncode:
                        self.say(path, line, f"no algorithm '{word}'")

            for match in re.finditer(r"`([a-z_0-9]+)=[\w.,-]+`", text := prose(path.read_text())):
                self.count("settings")
                if match[1] not in settings_of(None):
                    self.say(path, text.count("\n", 0, match.start()) + 1, f"no setting {match[1]}")

    def bench(self, words):
        """The text that knows a benchmark's options; None if there is no such benchmark."""
        name = words[1] if len(words) > 1 and not words[1].startswith("-") else None
        script = self.source / f"bench/{name}/{name}.py"
        if script.exists():
            # Commands that measure in turns share options of mlp's.
            return "".join(s.read_text() for s in (script, self.source / "bench/mlp/mlp.py"))
        sources = [self.source / (f"bench/ladder/{name}.cpp" if name == "ladder" else f"bench/bench_{name}.cpp")] \
            if name else []
        if not all(s.exists() for s in sources):
            return None
        code = "\n".join(s.read_text() for s in [*sources, *(self.source / "bench").glob("*.cpp")])
        return code + " --benchmark_filter"


def commands(text):
    """(line, [VERB, ...]) of each `./meander` command in the fenced blocks, and of those in backticks."""
    for begin, lines in blocks(text):
        for number, line in enumerate(lines, begin):
            if line.strip().startswith("./meander"):
                yield number, shlex.split(line.partition(" #")[0].partition(" > ")[0])[1:]
    plain = prose(text)
    for match in re.finditer(r"`\./meander ([^`]+)`", plain):
        words = match[1].split()
        if "..." not in words and words[0] != "VERB":
            yield plain.count("\n", 0, match.start()) + 1, shlex.split(match[1])


def main():
    source = pathlib.Path(sys.argv[1]).resolve()
    check = Check(source)
    for path in pages(source):
        whole = path.read_text()
        text = prose(whole)
        check.links(path, text)
        check.files(path, text)
        check.names(path, text)
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > LINE and not line.startswith(("|", "!", "<img", "    ")):
                check.say(path, number, f"{len(line)} columns")
    if (length := len((source / "README.md").read_text().splitlines())) > README_LINES:
        check.say(source / "README.md", length, f"{length} lines, at most {README_LINES}")
    check.quantities()
    program = sys.argv[2] if len(sys.argv) > 2 else None
    if program and pathlib.Path(program).is_file():
        check.commands(program)
    else:
        print("commands are not checked: the program is not built")
    print(", ".join(f"{n} {what}" for what, n in check.counts.items()))
    for least, what in ((60, "links"), (150, "files"), (60, "names")):
        if check.counts.get(what, 0) < least:
            check.wrong.append(f"only {check.counts.get(what, 0)} {what} found: how are they written?")
    print("\n".join(check.wrong))
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
