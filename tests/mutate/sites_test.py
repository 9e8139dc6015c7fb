#!/usr/bin/env python3
"""What the ten operators make of a small source, what they leave alone, and where they find the real sources' lines."""

import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import sites  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
PURPOSES = ("batch", "next_action", "evaluate")

# A line of C++ by operator, and every line that the operator makes of it.
EXAMPLES = {
    "sign": [("y = a + b;", ["y = a - b;"]), ("y -= a;", ["y += a;"]), ("return -a;", ["return a;"]),
             ("y = f(a, -b);", ["y = f(a, b);"])],
    "constant": [("y = 2 * x;", ["y = 3 * x;"]), ("y = 0.5f * x;", ["y = 0.75f * x;"]), ("y = 0x1fu;", ["y = 0x20u;"]),
                 ("y = 0.0;", ["y = 1.0;"]), ("double f() const = 0;", [])],
    "operand": [("y = a + b * c;", ["y = a ;", "y = a + b ;"]), ("y = f(a).b[i] / (c - d);", ["y = f(a).b[i] ;",
                "y = f(a).b[i] / (c );"])],
    "index": [("y = x[i];", ["y = x[i + 1];"]), ("y = x[0];", ["y = x[1];"]),
              ("y = x[i << 1];", ["y = x[(i << 1) + 1];"]),
              ("y = slice_columns(x, first, 2);", ["y = slice_columns(x, first + 1, 2);"]),
              ("for (int i = 0; i < n; ++i) f(i);", ["for (int i = 0; i + 1 < n; ++i) f(i);"]),
              ("float x[3];", []), ("g([&] { h(); });", [])],
    "swap": [("y = f(a, b.c(), 2);", ["y = f(b.c(), a, 2);"]), ("y = std::max(a, b);", []),
             ("void f(Tensor a, Tensor b);", []), ("y = f(a, a);", [])],
    "term": [("y = a * b - c;", ["y = -c;"]), ("y = a + b;", ["y = b;"]), ("{ f(a); }", ["{ ; }"]),
             ("; y += a * b;", ["; ;"]), ("int y(a);", [])],
    "stop_gradient": [("y = stop_gradient(a * b);", ["y = (a * b);"]), ("y = f(a).detached;", ["y = f(a);"])],
    "target": [("y = critic.target[i];", ["y = critic.online[i];"]), ("y = online[i];", ["y = target[i];"]),
               ("y = batch.next_state;", ["y = batch.state;"]), ("y = batch.state;", []),
               ("y = {.target = true};", [])],
    "minmax": [("y = std::min(a, b);", ["y = std::max(a, b);"]), ("y = maximum(a, b);", ["y = minimum(a, b);"]),
               ("Tensor minimum(Tensor a);", [])],
    "step": [("f(step);", ["f((step + 1));"]), ("y = step % 2;", ["y = (step + 1) % 2;"]), ("void f(int step);", []),
             ("f(Purpose::next_action);", ["f(Purpose::evaluate);"])],
}
# Nothing of this is a site.
LEFT_ALONE = r'''
#include <a-b> // 1 + 2
#define ADD(a, b) \
  (a + b)
// y = a - 1;
/* y = x[0] + 2; */
static_assert(a + 1 == 2);
template <int n = 3> using Three = A<n - 1>;
void check() { if (bad) throw Error(message("from ", low - 1, " to ", x[0])); }
void find() { throw Error("no " + name + names[0]); }
Table t = {{"width", &width, "units", "of each - layer", 1, 4096}};
const char* s = R"(y = a + b;)";
enum class Purpose { a = 1, b = 2 };
'''
# Of the real sources: file, operator, a part of the line, what becomes what.
PLANTED = [
    ("algos/mfpo_phases.cpp", "sign", "exp(log_alpha) * (Value(entropy)", "-", "+"),
    ("algos/mfpo_phases.cpp", "constant", "add_scaled(logp, 1.0 / double(flow.steps()), delta)", "1.0", "1.5"),
    ("nn/twin_critic.cpp", "operand", "0.5 * (q1 + q2)", "+ q2", ""),
    ("algos/mfpo.cpp", "index", "const Tensor first = slice_columns", "0", "0 + 1"),
    ("algos/sac.cpp", "stop_gradient", "actor_.descend", ".detached", ""),
    ("algos/mean_flow.h", "stop_gradient", "stop_gradient(derivative)", "stop_gradient(derivative)", "(derivative)"),
    ("algos/mfpo.cpp", "target", "critic.outputs(critic.target[i]", "target", "online"),
    ("nn/twin_critic.cpp", "minmax", "minimum(q1, q2)", "minimum", "maximum"),
    ("algos/mfpo.cpp", "step", "Purpose::interval_a", "interval_a", "interval_b"),
    ("algos/mfpo.cpp", "swap", "phases_.flow_times(draws.interval_a", "draws.interval_a, draws.interval_b",
     "draws.interval_b, draws.interval_a"),
    ("algos/mfpo.cpp", "term", "phases_.actor.descend(", None, ""),
    ("core/random.h", "constant", "", None, None),
    ("kernels/formulas/optimiser.h", "sign", "", None, None),
]


class Sites(unittest.TestCase):
    def test_operators(self):
        self.assertEqual(tuple(EXAMPLES), sites.OPERATORS)
        for operator, examples in EXAMPLES.items():
            for text, expected in examples:
                made = [site.apply(text) for site in sites.sites_of("a.cpp", text, PURPOSES)
                        if site.operator == operator]
                self.assertEqual(made, expected, f"{operator} of {text}")

    def test_left_alone(self):
        self.assertEqual([(s.line, s.operator, s.before) for s in sites.sites_of("a.cpp", LEFT_ALONE, PURPOSES)], [])

    def test_lines_stay(self):
        text = "void f() {\n  g(a,\n    b);\n  y = a +\n      b;\n}\n"
        for site in sites.sites_of("a.cpp", text):
            self.assertEqual(site.apply(text).count("\n"), text.count("\n"), site)
            self.assertNotEqual(site.apply(text), text)

    def test_ids(self):
        text = "y = a + b + c;\nz = a - b;\ny = a + b + c;\n"
        before = {site.id for site in sites.sites_of("a.cpp", text)}
        self.assertEqual(len(before), len(sites.sites_of("a.cpp", text)))
        after = {site.id for site in sites.sites_of("a.cpp", "w = 1;\n" + text)}
        self.assertLess(before, after)  # a line above changes no id

    def test_order(self):
        there = sites.sites_of_tree(ROOT)
        order = sites.in_order(there, "1")
        self.assertEqual({site.id for site in order}, {site.id for site in there})
        self.assertEqual(len(order), len(there))
        self.assertEqual([site.operator for site in order[:20]], 2 * list(sites.OPERATORS))
        self.assertNotEqual([site.id for site in order[:40]], [site.id for site in sites.in_order(there, "2")[:40]])
        # One site fewer moves no other in the order.
        fewer = sites.in_order([site for site in there if site.id != order[0].id], "1")
        self.assertEqual([s.id for s in order[1:] if (s.operator, s.folder) == (order[0].operator, order[0].folder)],
                         [s.id for s in fewer if (s.operator, s.folder) == (order[0].operator, order[0].folder)])

    def test_real_sources(self):
        there = sites.sites_of_tree(ROOT)
        for file, operator, line, before, after in PLANTED:
            lines = (ROOT / file).read_text().split("\n")
            found = [s for s in there if s.file == file and s.operator == operator and line in lines[s.line - 1] and
                     before in (None, s.before) and after in (None, s.after)]
            self.assertTrue(found, f"{operator} in {file}: {line}")


if __name__ == "__main__":
    unittest.main()
