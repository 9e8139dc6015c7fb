"""The pictures of a measurement, through gnuplot: for each pass the roofline, the time over the rows, the ratios."""
import math
import os
import shutil
import subprocess

from table import quantile

# Okabe and Ito's colours, which the colour-blind can tell apart; then the same ones dashed. The background is white
# whatever the page's is.
COLOURS = ("0072B2", "D55E00", "009E73", "CC79A7", "E69F00", "56B4E9", "000000")
PANEL_WIDTH, PANEL_HEIGHT = 560, 400
LEFT, RIGHT, ABOVE, BELOW, TITLE = 88, 24, 44, 62, 34
NAMES = 150   # pixels beside the lines or the bars, for names


class Unable(Exception):
    """Why there is no picture, in one line."""


def check(path):
    """Raises Unable before anything is measured."""
    if os.path.splitext(path)[1] not in (".svg", ".png"):
        raise Unable(f"--plot {path}: expected a name that ends in .svg or .png")
    if not shutil.which("gnuplot"):
        raise Unable("gnuplot is missing: apt-get install gnuplot-nox")


def draw(rows, peaks, path):
    """rows: of mlp.py, those that were measured; peaks: by number of threads."""
    blocks = {}
    for row in rows:
        if row.visits and not row.reason:
            layers, activation, norm, what, _, precision = row.case.split("/")[1:]
            title = f"{what}, {layers.replace('-', ',')} {activation}, norm {norm}, {precision}, " \
                    f"{row.threads} thread{'s' * (row.threads > 1)}"
            blocks.setdefault((title, row.threads), []).append(row)
    if not blocks:
        raise Unable("nothing was measured: there is nothing to draw")
    script = picture(blocks, peaks, os.path.splitext(path)[1][1:])
    done = subprocess.run(["gnuplot"], input=script.encode(), capture_output=True)
    if done.returncode or not done.stdout:
        lines = done.stderr.decode(errors="replace").strip().split("\n")
        raise Unable(f"gnuplot cannot draw {path}: {lines[-1] or 'no message'}")
    with open(path + ".partial", "wb") as file:
        file.write(done.stdout)
    os.replace(path + ".partial", path)


# ---- the script ------------------------------------------------------------------------------------------------------

def quoted(text):
    return "'" + text.replace("'", "\u2019") + "'"


def picture(blocks, peaks, form):
    whos = list(dict.fromkeys(row.who for rows in blocks.values() for row in rows))
    styles = {who: (COLOURS[i % len(COLOURS)], i // len(COLOURS) + 1) for i, who in enumerate(whos)}
    width, height = 3 * PANEL_WIDTH, len(blocks) * (PANEL_HEIGHT + TITLE)
    terminal = "pngcairo" if form == "png" else "svg"
    script = [f"set terminal {terminal} size {width},{height} font 'sans,13' background rgb 'white'",
              "set encoding utf8", "set border 3 lc rgb '#808080'", "set style fill solid 0.85 noborder",
              "set tics nomirror scale 0.6 textcolor rgb '#303030' noenhanced",
              "set grid xtics ytics lt 1 lw 0.7 lc rgb '#e2e2e2' back", "unset key", "set multiplot",
              "set xlabel noenhanced", "set ylabel noenhanced"]
    for number, ((title, threads), rows) in enumerate(blocks.items()):
        top = number * (PANEL_HEIGHT + TITLE)
        script.append(f"set label 99 {quoted(title)} at screen 0.5,{1 - (top + 20) / height:.5f} center front "
                      "noenhanced font ',15'")
        for column, panel in enumerate((roofline, times, ratios)):
            left = column * PANEL_WIDTH
            place = (left + LEFT + (NAMES if panel is ratios else 0), left + PANEL_WIDTH - RIGHT
                     - (NAMES if panel is times else 0), top + TITLE + ABOVE, top + TITLE + PANEL_HEIGHT - BELOW)
            script += [f"set lmargin at screen {place[0] / width:.5f}", f"set rmargin at screen {place[1] / width:.5f}",
                       f"set tmargin at screen {1 - place[2] / height:.5f}",
                       f"set bmargin at screen {1 - place[3] / height:.5f}",
                       "set logscale xy", "set xtics nomirror autofreq", "set ytics nomirror autofreq",
                       "set format '%g'"]
            script += panel(rows, styles, peaks.get(str(threads)) or {})
            script += ["unset label", "unset arrow", "unset object", "unset yrange"]
    return "\n".join(script + ["unset multiplot", ""])


def decades(values, room=1.15):
    """A range round the values with some room, at least a decade."""
    low, high = min(values) / room, max(values) * room
    if high / low < 10:
        middle = math.sqrt(high * low)
        low, high = middle / math.sqrt(10), middle * math.sqrt(10)
    return low, high


def apart(places, gap):
    """The places (of names, on an axis) moved so that neighbours are `gap` apart, in their order."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for _ in range(200):
        for below, above in zip(order, order[1:]):
            if (lack := gap - (moved[above] - moved[below])) > 1e-9:
                moved[below] -= lack / 2
                moved[above] += lack / 2
    return moved


def roofline(rows, styles, peaks):
    """GFLOP/s over flop a byte, a point a case, under the ceilings."""
    script = ["set title 'roofline' offset 0,-0.5", "set xlabel 'flop a byte'", "set ylabel 'GFLOP/s'"]
    x = [row.flop / row.bytes for row in rows]
    ceilings = {row.peak for row in rows if row.peak}
    slopes = {f"{rate:.0f} GB/s {name}": rate for name, rate in
              (("cache", max((row.reading or 0 for row in rows), default=0)), ("memory", peaks.get("triad") or 0))
              if rate}
    low, high = decades(x, 3)
    bottom, top = decades([row.gflops for row in rows] + list(ceilings), 1.8)
    peak = max(ceilings, default=None)
    if peak:
        script.append(f"set arrow from {low:g},{peak:g} to {high:g},{peak:g} nohead lw 1.5 lc rgb '#606060'")
        script.append(f"set label {quoted(f'{peak:.0f} GFLOP/s')} at {high:g},{peak * 1.25:g} right noenhanced "
                      "font ',11' textcolor rgb '#404040'")
        for name, rate in slopes.items():
            first, last = max(low, bottom / rate), min(high, peak / rate)
            if first >= last:
                continue
            script.append(f"set arrow from {first:g},{first * rate:g} to {last:g},{last * rate:g} nohead lw 1.5 "
                          "lc rgb '#606060'")
            at = math.sqrt(first * last)
            script.append(f"set label {quoted(name)} at {at:g},{at * rate * 1.25:g} right noenhanced font ',11' "
                          "textcolor rgb '#404040'")
    for row in rows:
        if row.who == "meander":
            script.append(f"set label {quoted(row.case.split('/')[5])} at {row.flop / row.bytes:g},"
                          f"{row.gflops:g} left offset 0.8,0 noenhanced font ',11' "
                          f"textcolor rgb '#{styles[row.who][0]}'")
    script += [f"set xrange [{low:g}:{high:g}]", f"set yrange [{bottom:g}:{top:g}]"]
    plots = []
    for i, who in enumerate(dict.fromkeys(row.who for row in rows)):
        script += [f"$r{i} << EOD", *(f"{row.flop / row.bytes:g} {row.gflops:g}" for row in rows if row.who == who),
                   "EOD"]
        plots.append(f"$r{i} using 1:2 with points pt {7 if styles[who][1] == 1 else 6} ps 0.9 "
                     f"lc rgb '#{styles[who][0]}'")
    return script + ["plot " + ", ".join(plots)]


def times(rows, styles, peaks):
    """Microseconds of a call over the rows, a line a contender, its 10 to 90 % as a band, its name at its end."""
    script = ["set title 'time of a call' offset 0,-0.5", "set xlabel 'rows'", "set ylabel 'us'"]
    counts = [int(row.case.split("/")[5]) for row in rows]
    low, high = decades(counts, 1.0 if len(set(counts)) > 1 else 1.5)
    bottom, top = decades([t for row in rows for t in (quantile(row.times, 0.1), quantile(row.times, 0.9))], 1.3)
    script += [f"set xrange [{low:g}:{high:g}]", f"set yrange [{bottom:g}:{top:g}]"]
    bands, lines, ends = [], [], []
    for i, who in enumerate(dict.fromkeys(row.who for row in rows)):
        colour, dash = styles[who]
        mine = sorted((row for row in rows if row.who == who), key=lambda row: int(row.case.split("/")[5]))
        script += [f"$t{i} << EOD", *(f"{row.case.split('/')[5]} {row.median:g} {quantile(row.times, 0.1):g} "
                                      f"{quantile(row.times, 0.9):g}" for row in mine), "EOD"]
        if len(mine) > 1:
            bands.append(f"$t{i} using 1:3:4 with filledcurves fs transparent solid 0.18 lc rgb '#{colour}'")
            lines.append(f"$t{i} using 1:2 with lines lw 2.2 dt {dash} lc rgb '#{colour}'")
        else:
            lines.append(f"$t{i} using 1:2:3:4 with yerrorbars pt 7 ps 0.8 lw 1.5 lc rgb '#{colour}'")
        ends.append((who, colour, mine[-1].median))
    span = math.log(top / bottom)
    moved = apart([math.log(median / bottom) / span for _, _, median in ends], 15 / (PANEL_HEIGHT - ABOVE - BELOW))
    for (who, colour, _), place in zip(ends, moved):
        script.append(f"set label {quoted(who)} at graph 1.02,{place:.4f} left noenhanced font ',11' "
                      f"textcolor rgb '#{colour}'")
    return script + ["plot " + ", ".join(bands + lines)]


def ratios(rows, styles, peaks):
    """How many times as long as Meander each takes: a bar to the geometric mean over the rows, the least and the
    most."""
    found = {}
    for row in rows:
        if row.ratio and row.who != "meander":
            found.setdefault(row.who, []).append(row.ratio)
    script = ["set title 'time / time of meander' offset 0,-0.5", "set xlabel 'mean (geometric), least and most'",
              "set ylabel ''", "unset logscale y", "set format y ''",
              "set xtics nomirror (" + ", ".join(f"{factor * 10 ** power:g}" for power in range(-2, 5)
                                                 for factor in (1, 2, 5)) + ")"]
    if not found:
        return script + ["set xrange [0.5:2]", "set yrange [0:1]",
                         "set label 'nobody beside meander' at graph 0.5,0.5 center textcolor rgb '#606060'",
                         "plot NaN with lines"]
    low, high = decades([1.0] + [ratio for some in found.values() for ratio in some], 1.5)
    script += [f"set xrange [{low:g}:{high:g}]", f"set yrange [{len(found)}:0]",
               f"set arrow from 1,0 to 1,{len(found)} nohead lw 1.2 lc rgb '#404040' front"]
    for place, (who, some) in enumerate(found.items()):
        colour, middle = styles[who][0], math.exp(sum(map(math.log, some)) / len(some))
        edges = sorted((1.0, middle))
        y = place + 0.5
        script.append(f"set object rectangle from {edges[0]:g},{y - 0.3} to {edges[1]:g},{y + 0.3} "
                      f"fc rgb '#{colour}' fs solid 0.85 noborder")
        script.append(f"set arrow from {min(some):g},{y} to {max(some):g},{y} heads size screen 0.003,90 lw 1 "
                      "lc rgb '#404040' front")
        script.append(f"set label {quoted(f'{who}  {middle:.2f}')} at graph -0.02,{1 - y / len(found):.4f} right "
                      f"noenhanced font ',11' textcolor rgb '#303030'")
    return script + ["plot NaN with lines"]
