"""The sites of a mutation run: where one of ten operators changes a C++ source, and what it writes there.

The sources are cut into tokens, not parsed: a change that does not compile is found out by the compiler.
"""

import bisect
import hashlib
import re
from dataclasses import dataclass

OPERATORS = ("sign", "constant", "operand", "index", "swap", "term", "stop_gradient", "target", "minmax", "step")
FOLDERS = ("algos", "nn", "core", "kernels/formulas")

TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/|\#(?:[^\n]*\\\n)*[^\n]*)
      |(?P<string>(?:u8|[uUL])?R"(?P<raw>[^(]*)\(.*?\)(?P=raw)"|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      |(?P<number>\.?\d(?:[eEpP][+-]|'\w|[\w.])*)
      |(?P<name>[A-Za-z_]\w*)
      |(?P<mark>->|::|\+\+|--|&&|\|\||<<=|>>=|<=|>=|==|!=|[-+*/%&|^]=|.)""",
    re.VERBOSE | re.DOTALL)

KEYWORDS = set("return case throw new delete sizeof auto const constexpr static inline if else for while do switch "
               "using namespace struct class enum template typename operator int float double bool void unsigned char "
               "explicit virtual override noexcept public private protected default goto extern mutable".split())
OPPOSITES = {"min": "max", "fmin": "fmax", "minimum": "maximum", "smaller": "larger", "least": "most",
             "min_element": "max_element"}
OPPOSITES |= {right: left for left, right in OPPOSITES.items()}
NETWORKS = {"online": "target", "online_": "target_", "next_state": "state"}
NETWORKS |= {right: left for left, right in NETWORKS.items() if left != "next_state"}
SYMMETRIC = {"min", "max", "minimum", "maximum", "swap", "add", "mul"}
STEPS = {"step", "step_", "steps", "updates", "updates_"}


@dataclass
class Site:
    file: str
    line: int
    operator: str
    before: str   # the text between start and end
    after: str
    start: int
    end: int
    id: str = ""  # FILE:HASH OF THE LINE'S TEXT:OPERATOR:WHICH OF THESE, which lines elsewhere do not change

    @property
    def folder(self):
        return self.file.rpartition("/")[0]

    def apply(self, text):
        """The mutant's text, with as many lines as before."""
        missing = text.count("\n", self.start, self.end) - self.after.count("\n")
        return text[:self.start] + self.after + "\n" * missing + text[self.end:]


@dataclass
class Token:
    kind: str
    text: str
    start: int
    end: int


class Source:
    """The tokens of one file, its brackets matched, and what the operators ask about them."""

    def __init__(self, text):
        self.text = text
        self.tokens = [Token(m.lastgroup, m.group(), m.start(), m.end()) for m in TOKEN.finditer(text)
                       if m.lastgroup != "skip"]
        self.partner, open_brackets = {}, []
        for i, token in enumerate(self.tokens):
            if token.kind == "mark" and token.text in "([{":
                open_brackets.append(i)
            elif token.kind == "mark" and token.text in ")]}" and open_brackets:
                self.partner[i] = open_brackets.pop()
                self.partner[self.partner[i]] = i
        self.skipped = self.left_out()

    def at(self, i):
        return self.tokens[i].text if 0 <= i < len(self.tokens) else ""

    def kind(self, i):
        return self.tokens[i].kind if 0 <= i < len(self.tokens) else ""

    def is_name(self, i):
        return self.kind(i) == "name" and self.at(i) not in KEYWORDS

    def joined(self, i):
        """No space between tokens i and i + 1."""
        return 0 <= i < len(self.tokens) - 1 and self.tokens[i].end == self.tokens[i + 1].start

    def slice(self, i, j):
        return self.text[self.tokens[i].start:self.tokens[j - 1].end]

    def left_out(self):
        """Tokens of what says something to a reader or to the compiler only: error messages, rows of tables that begin
        with a text, static_assert, template heads, aliases, lists of an enum."""
        out = set()
        for i, token in enumerate(self.tokens):
            end = i
            if token.text in ("static_assert", "message") and self.at(i + 1) == "(":
                end = self.partner.get(i + 1, i)
            elif token.text == "{" and self.kind(i + 1) == "string":
                end = self.partner.get(i, i)
            elif token.text in ("throw", "using"):
                end = next((j for j in range(i, len(self.tokens)) if self.at(j) == ";"), i)
            elif token.text == "template" and self.at(i + 1) == "<":
                end = self.template_end(i + 1) or i
            elif token.text == "enum":
                end = next((self.partner.get(j, j) for j in range(i, len(self.tokens)) if self.at(j) in ("{", ";")), i)
            elif token.text == "operator":
                end = i + 1
            if end > i:
                out.update(range(i, end + 1))
        return out

    def template_end(self, i):
        """The > of the template arguments that token i, a <, begins; None where it is a comparison."""
        depth = 0
        for j in range(i, min(i + 40, len(self.tokens))):
            text = self.at(j)
            if text == "<":
                depth += 1
            elif text == ">":
                depth -= 1
                if depth == 0:
                    return j
            elif text in (";", "{", "}", "&&", "||", "(", ")"):
                return None
        return None

    def is_binary(self, i):
        """An operator between two operands: written with space on both sides."""
        return (i > 0 and not self.joined(i - 1) and not self.joined(i) and self.kind(i) == "mark" and
                (self.kind(i - 1) == "number" or self.is_name(i - 1) or self.at(i - 1) in (")", "]", "}")) and
                self.operand_end(i + 1) is not None)

    def is_unary_minus(self, i):
        return self.at(i) == "-" and self.joined(i) and (
            self.at(i - 1) in ("(", ",", "=", "return", "?", ":", "{", "[", "+", "-", "*", "/", "<", ">", "<=", ">="))

    def operand_end(self, i):
        """One past the operand that begins at token i: a number, or a name with members, calls and indices."""
        while self.at(i) in ("-", "!") and self.joined(i):
            i += 1
        if self.kind(i) == "number":
            return i + 1
        if self.at(i) == "(" and i in self.partner:
            i = self.partner[i] + 1
        elif self.is_name(i) or self.at(i) in ("double", "float", "int"):
            i += 1
        else:
            return None
        while i < len(self.tokens):
            if self.at(i) in (".", "->", "::") and self.kind(i + 1) == "name":
                i += 2
            elif self.at(i) in ("(", "[") and i in self.partner or self.at(i) == "{" and self.joined(i - 1):
                i = self.partner[i] + 1
            elif self.at(i) == "<" and self.joined(i - 1) and self.template_end(i):
                i = self.template_end(i) + 1
            else:
                return i
        return i

    def operand_start(self, i):
        """The first token of the operand that ends with token i; None if there is none."""
        while True:
            if self.at(i) in (")", "]", "}") and i in self.partner:
                i = self.partner[i]
                if self.joined(i - 1) and (self.kind(i - 1) == "name" or self.at(i - 1) in (")", "]")):
                    i -= 1
                    continue
                if self.joined(i - 1) and self.at(i - 1) == ">":
                    opening = next((j for j in range(i - 1, max(i - 40, 0), -1) if self.template_end(j) == i - 1), None)
                    if opening is None:
                        return None
                    i = opening - 1
                    continue
            elif self.kind(i) not in ("name", "number") or self.at(i) == "return":
                return None
            if self.at(i - 1) in (".", "->", "::"):
                i -= 2
                continue
            return i - 1 if self.is_unary_minus(i - 1) else i

    def arguments(self, i):
        """The arguments of the call whose ( is token i, as pairs of tokens [first, end)."""
        parts, first = [], i + 1
        j = i + 1
        while j < self.partner[i]:
            if self.at(j) in ("(", "[", "{"):
                j = self.partner.get(j, j)
            elif self.at(j) == ",":
                parts.append((first, j))
                first = j + 1
            j += 1
        if first < self.partner[i]:
            parts.append((first, self.partner[i]))
        return parts


# ---- the operators: token i -> changes (first token, one past the last, new text) ------------------------------------
def sign(s, i):
    """a + b <-> a - b, += <-> -=, -a -> a"""
    flipped = {"+": "-", "-": "+", "+=": "-=", "-=": "+="}.get(s.at(i))
    if flipped and s.is_binary(i):
        yield i, i + 1, flipped
    elif s.is_unary_minus(i):
        yield i, i + 1, ""


def constant(s, i):
    """A whole number and one more; another number and half as much again, or 1 for 0."""
    if s.kind(i) != "number" or (s.at(i - 1), s.at(i + 1)) == ("[", "]"):
        return
    if s.at(i - 1) == "=" and s.at(i - 2) in (")", "const", "override"):
        return  # pure virtual
    parts = re.fullmatch(r"(0[xX][\da-fA-F]+|[\d.]+(?:[eE][+-]?\d+)?)([uUlLfF]*)", s.at(i).replace("'", ""))
    if not parts:
        return
    number, suffix = parts.groups()
    if number[:2] in ("0x", "0X"):
        yield i, i + 1, hex(int(number, 16) + 1) + suffix
    elif number.isdigit():
        yield i, i + 1, str(int(number) + 1) + suffix
    else:
        yield i, i + 1, repr(1.5 * float(number) or 1.0) + suffix


def terms_around(s, i):
    """The first token of what token i, a binary operator, has on its left, and one past what it has on its right."""
    start, end = s.operand_start(i - 1), s.operand_end(i + 1)
    if s.at(i) in "+-":  # products bind more
        while start is not None and s.at(start - 1) in ("*", "/") and s.is_binary(start - 1):
            start = s.operand_start(start - 2)
        while end is not None and s.at(end) in ("*", "/") and s.is_binary(end):
            end = s.operand_end(end + 1)
    return start, end


def operand(s, i):
    """a + b -> a; the same of -, * and /"""
    if s.at(i) in ("+", "-", "*", "/") and s.is_binary(i):
        start, end = terms_around(s, i)
        if start is not None and end is not None:
            yield i, end, ""


def index(s, i):
    """x[i] -> x[i + 1], x[0] <-> x[1], the first column or row of a slice, the last step of a loop"""
    if s.at(i) == "[" and (s.is_name(i - 1) or s.at(i - 1) in (")", "]")) and i in s.partner:
        declared = s.kind(i - 2) == "name" and s.at(i - 2) != "return" or s.at(i - 2) in (">", "*", "&")
        if s.at(i - 1) == ")":
            declared = s.at(s.partner[i - 1] + 1) == "&"
        end = s.partner[i]
        if end > i + 1 and not declared:
            inside = s.slice(i + 1, end)
            whole = inside if s.operand_end(i + 1) == end else f"({inside})"
            yield i + 1, end, {"0": "1", "1": "0"}.get(inside, whole + " + 1")
    elif s.at(i) in ("slice_columns", "slice_rows") and s.at(i + 1) == "(":
        parts = s.arguments(i + 1)
        if len(parts) == 3 and s.operand_end(parts[1][0]) == parts[1][1]:
            yield *parts[1], s.slice(*parts[1]) + " + 1"
    elif s.at(i) == "for" and s.at(i + 1) == "(" and i + 1 in s.partner:
        for j in range(i + 2, s.partner[i + 1]):
            if s.at(j) == "<" and s.is_binary(j) and s.at(j - 2) == ";":
                yield j - 1, j, s.at(j - 1) + " + 1"


def swap(s, i):
    """f(a, b) -> f(b, a)"""
    if not (s.is_name(i) and s.at(i + 1) == "(" and i + 1 in s.partner) or s.at(i) in SYMMETRIC:
        return
    parts = s.arguments(i + 1)
    for left, right in zip(parts, parts[1:]):
        plain = all(first < end and s.operand_end(first) == end and s.kind(first) == "name"
                    for first, end in (left, right))
        if plain and s.slice(*left) != s.slice(*right):
            yield left[0], right[1], s.slice(*right) + ", " + s.slice(*left)


def term(s, i):
    """a + b -> b, a - b -> -b; a statement f(a); or a += b; left out"""
    if s.at(i) in ("+", "-") and s.is_binary(i):
        start, end = terms_around(s, i)
        if start is not None and end is not None:
            yield start, i + 2, ("-" if s.at(i) == "-" else "") + s.at(i + 1)
    elif s.at(i) in (";", "{", "}"):
        end = s.operand_end(i + 1) if s.is_name(i + 1) else None
        if end and s.at(end) == ";" and s.at(end - 1) == ")":
            yield i + 1, end, ""
        elif end and s.at(end) in ("+=", "-=", "*=", "/="):
            close = s.operand_end(end + 1)
            while close and s.is_binary(close):
                close = s.operand_end(close + 1)
            if close and s.at(close) == ";":
                yield i + 1, close, ""


def stop_gradient(s, i):
    """stop_gradient(a) -> a, a.detached -> a"""
    if s.at(i) == "stop_gradient" and s.at(i + 1) == "(" and s.kind(i - 1) != "name":
        yield i, s.partner[i + 1] + 1, "(" + s.slice(i + 2, s.partner[i + 1]) + ")"
    elif s.at(i) == "." and s.at(i + 1) == "detached":
        yield i, i + 2, ""


def target(s, i):
    """A critic's online for its target network, and the other way; the state for the next one"""
    other = NETWORKS.get(s.at(i))
    if not other or s.at(i + 1) in ("=", "(", "{"):
        return
    if s.at(i - 1) in (".", "->") or s.at(i + 1) == "[" and not (s.kind(i - 1) == "name" or s.at(i - 1) == ">"):
        yield i, i + 1, other


def minmax(s, i):
    """min <-> max, minimum <-> maximum, smaller <-> larger"""
    other = OPPOSITES.get(s.at(i))
    if other and (s.at(i + 1) == "(" or s.at(i - 1) == "::") and (s.kind(i - 1) != "name" or s.at(i - 1) == "return"):
        yield i, i + 1, other


def step(s, i):
    """step -> step + 1; the random numbers of the next Purpose"""
    if s.at(i) in STEPS:
        if s.at(i + 1) in (")", ",", "%", "/", "*", ";", "<", ">=", "==") and s.at(i - 1) in (
                "(", ",", "=", "+", "-", "*", "/", "<", ">", ">=", "==", "%"):
            yield i, i + 1, "(" + s.at(i) + " + 1)"
    elif s.at(i) == "Purpose" and s.at(i + 1) == "::" and s.at(i + 2) in s.purposes:
        at = s.purposes.index(s.at(i + 2))
        yield i + 2, i + 3, s.purposes[(at + 1) % len(s.purposes)]


CHANGES = {f.__name__: f for f in (sign, constant, operand, index, swap, term, stop_gradient, target, minmax, step)}
assert tuple(CHANGES) == OPERATORS


def purposes_of(text):
    """The names in `enum class Purpose` (core/random.h)."""
    found = re.search(r"enum class Purpose[^{]*\{(.*?)\}", text, re.DOTALL)
    return re.findall(r"\b[a-z]\w*", re.sub(r"=\s*\d+|//[^\n]*", "", found.group(1))) if found else []


def sites_of(file, text, purposes=()):
    """Every site of a source, in the order of its text."""
    source = Source(text)
    source.purposes = list(purposes) or purposes_of(text)
    lines = [0] + [m.end() for m in re.finditer("\n", text)]
    found, seen, counts = [], set(), {}
    for operator, changes in CHANGES.items():
        for i in range(len(source.tokens)):
            for first, end, after in changes(source, i):
                if source.skipped.intersection(range(first, end)):
                    continue
                start, stop = source.tokens[first].start, source.tokens[end - 1].end
                if (start, stop, after) not in seen:
                    seen.add((start, stop, after))
                    line = bisect.bisect_right(lines, start)
                    found.append(Site(file, line, operator, text[start:stop], after, start, stop))
    found.sort(key=lambda site: (site.start, OPERATORS.index(site.operator), site.end))
    all_lines = text.split("\n")
    for site in found:
        digest = hashlib.sha1(all_lines[site.line - 1].strip().encode()).hexdigest()[:8]
        key = f"{site.file}:{digest}:{site.operator}"
        counts[key] = counts.get(key, 0) + 1
        site.id = f"{key}:{counts[key]}"
    return found


def sites_of_tree(root):
    """Every site of the folders that are mutated."""
    purposes = purposes_of((root / "core/random.h").read_text())
    files = sorted(file for folder in FOLDERS for end in ("*.h", "*.cpp") for file in (root / folder).glob(end))
    return [site for file in files
            for site in sites_of(file.relative_to(root).as_posix(), file.read_text(), purposes)]


def in_order(sites, seed):
    """The sites in the order in which a seed takes them: operators by turns, an operator's folders by turns, and by
    chance (of the seed and the id, not of what else there is) within a folder."""
    def chance(site):
        return hashlib.sha256(f"{seed} {site.id}".encode()).hexdigest()
    waiting = {}
    for site in sorted(sites, key=chance, reverse=True):
        waiting.setdefault((site.operator, site.folder), []).append(site)
    order, turn = [], 0
    while any(waiting.values()):
        for k, operator in enumerate(OPERATORS):
            for shift in range(len(FOLDERS)):
                left = waiting.get((operator, FOLDERS[(turn + k + shift) % len(FOLDERS)]))
                if left:
                    order.append(left.pop())
                    break
        turn += 1
    return order
