#include <meander/app/gnuplot.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include <meander/app/child_process.h>
#include <meander/app/progress.h>
#include <meander/core/text.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

// Okabe and Ito's colours, which the colour-blind can tell apart; then the same ones dashed.
constexpr std::array colours = {"0072B2", "D55E00", "009E73", "CC79A7", "E69F00", "56B4E9", "000000"};

// In pixels: the rectangle of the axes, what is around it, a line of the key below, and the line at the foot.
constexpr int axes_width = 500, axes_height = 300, left = 130, right = 40, above = 50, below = 74;
constexpr int key_line = 21, foot = 30;

// Quotes within are typographic ones: gnuplot reads doubled ones wrongly at the ends of a text.
std::string in_quotes(const std::string& text) {
  std::string out = "'";
  for (const char c : shown(text)) out += c == '\'' ? "\xe2\x80\x99" : std::string(1, c);
  return out + "'";
}

struct Range {
  double low = INFINITY, high = -INFINITY;

  void include(double value) { low = std::min(low, value), high = std::max(high, value); }
  double largest() const { return std::max(std::fabs(low), std::fabs(high)); }
  // Some room around. Values that are one but for rounding get as much as one does.
  Range widened() const {
    const double span = high - low;
    const double room = span > 1e-9 * largest() && span > 1e-300 ? 0.04 * span : std::max(1.0, largest() * 0.1);
    return {low - room, high + room};
  }
};

// Values beyond this are drawn at it: what is computed of a range of doubles must be doubles too.
constexpr double farthest = 1e300;
double in_reach(double value) { return std::clamp(value, -farthest, farthest); }

// About `count` round numbers from low to high with their text, as gnuplot's set xtics wants them.
std::string ticks(double low, double high, int count) {
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.5, 2.0, 1.0})
    if (factor * power >= rough) step = factor * power;
  int decimals = 0;
  for (double x = step; decimals < 12 && std::fabs(x - std::round(x)) > 1e-6; x *= 10) ++decimals;
  std::string text;
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i <= 2 * count; ++i) {
    const double value = (first + i) * step + 0.0;  // not -0
    if (value > high + 1e-9 * step) break;
    const std::string words = step >= 1e15 || step < 1e-12 ? fmt::format("{:.4g}", value)
                              : decimals == 0 && std::fabs(value) < 1e15 ? count_text(std::llround(value))
                                                                         : fmt::format("{:.{}f}", value, decimals);
    text += fmt::format("{}{} {:.12g}", text.empty() ? "" : ", ", in_quotes(words), value);
  }
  return "(" + text + ")";
}

// `labels`: of all panels, so that a label has one colour everywhere.
std::string panel_script(const Panel& panel, const std::string& column, const std::vector<std::string>& labels) {
  Range x, y;
  x.include(0);
  std::string data, plots, keys;
  for (size_t c = 0; c < panel.curves.size(); ++c) {
    const LearningCurve& curve = panel.curves[c];
    const auto style = static_cast<size_t>(std::find(labels.begin(), labels.end(), curve.label) - labels.begin());
    const std::string colour = colours[style % colours.size()];
    const size_t dash = style / colours.size() + 1;
    const bool mean_alone = curve.has_interval() || curve.runs.size() == 1;
    const auto include = [&](int64_t step, double value) {
      x.include(static_cast<double>(step));
      y.include(in_reach(value));
    };
    if (!mean_alone)
      for (size_t r = 0; r < curve.runs.size(); ++r) {
        data += fmt::format("$run{}_{} << EOD\n", c, r);
        for (const Metrics::Point& point : curve.runs[r]) {
          include(point.step, point.value);
          data += fmt::format("{} {}\n", point.step, in_reach(point.value));
        }
        data += "EOD\n";
        plots += fmt::format("$run{}_{} with lines lw 1 dt {} lc rgb '#70{}' notitle, \\\n  ", c, r, dash, colour);
      }
    data += fmt::format("$mean{} << EOD\n", c);
    for (const LearningCurve::MeanPoint& point : curve.mean) {
      include(point.step, point.interval.low);
      include(point.step, point.interval.high);
      data += fmt::format("{} {} {} {}\n", point.step, in_reach(point.mean), in_reach(point.interval.low),
                          in_reach(point.interval.high));
    }
    data += "EOD\n";
    if (curve.has_interval())
      plots += fmt::format("$mean{} using 1:3:4 with filledcurves lc rgb '#{}' notitle, \\\n  ", c, colour);
    const bool dot = curve.mean.size() == 1;  // a line of one point is not to be seen
    if (!curve.mean.empty())
      keys += fmt::format("$mean{} using 1:2 with {} lw 2.4 {} dt {} lc rgb '#{}' notitle, \\\n  ", c,
                          dot ? "linespoints" : "lines", dot ? "pt 7" : "", dash, colour);
    const size_t runs = curve.runs.size();
    const std::string title = runs == 1 ? curve.label : fmt::format("{} ({} seeds)", curve.label, runs);
    keys += fmt::format("NaN with lines lw 2.4 dt {} lc rgb '#{}' title {}{}", dash, colour, in_quotes(title),
                        c + 1 < panel.curves.size() ? ", \\\n  " : "\n");
  }
  const double end = std::max(x.high, 1.0);
  const Range shown = y.widened();
  std::string label = column;
  std::replace(label.begin(), label.end(), '_', ' ');
  return data + fmt::format("set title {}\nset ylabel {}\n", in_quotes(panel.title), in_quotes(label)) +
         fmt::format("set xrange [0:{:.12g}]\nset xtics {}\n", end, ticks(0, end, 6)) +
         fmt::format("set yrange [{:.12g}:{:.12g}]\nset ytics {}\n", shown.low, shown.high,
                     ticks(shown.low, shown.high, 6)) +
         "plot " + plots + keys;
}

// What the lines and bands are.
std::string legend(const std::vector<Panel>& panels) {
  bool interval = false, each = false;
  for (const Panel& panel : panels)
    for (const LearningCurve& curve : panel.curves) {
      if (curve.runs.size() == 1) continue;
      (curve.has_interval() ? interval : each) = true;
    }
  if (interval && each) return "mean over seeds, with its 95 % bootstrap interval or each seed";
  return interval ? "mean over seeds, with its 95 % bootstrap interval" : each ? "mean over seeds, and each seed" : "";
}

// Panels beside and below each other, each drawn by script(i), with room for lines of the key.
template <class Script>
std::string multiplot(const std::string& format, size_t panels, size_t key_lines, const std::string& x_label,
                      const std::string& foot_line, Script&& panel) {
  const size_t columns = panels == 4 ? 2 : std::min<size_t>(panels, 3);
  const size_t rows = (panels + columns - 1) / columns;
  const size_t panel_width = left + axes_width + right;
  const size_t panel_height = above + axes_height + below + key_line * key_lines;
  const size_t width = panel_width * columns, height = panel_height * rows + foot;
  // Pixels from the left and from the top as shares of the screen.
  const auto x = [&](size_t pixels) { return static_cast<double>(pixels) / static_cast<double>(width); };
  const auto y = [&](size_t pixels) { return 1 - static_cast<double>(pixels) / static_cast<double>(height); };

  std::string script =
      fmt::format("set terminal {} size {},{} font 'sans,13' background rgb 'white'\n",
                  format == "png" ? "pngcairo" : "svg", width, height) +
      "set encoding utf8\n"
      "set style fill transparent solid 0.18 noborder\n"
      "set border 3 lc rgb '#808080'\n"
      "set tics nomirror scale 0.6 textcolor rgb '#303030' noenhanced\n"
      "set grid xtics ytics lt 1 lw 0.7 lc rgb '#e2e2e2' back\n"
      "set title font ',15' offset 0,-0.4 noenhanced\n"
      "set ylabel noenhanced\n" +
      fmt::format("set xlabel {}\n", in_quotes(x_label)) +
      "set multiplot\n" +
      fmt::format("set label 1 {} at screen 0.5,{:.6f} center front font ',11' textcolor rgb '#606060'\n",
                  in_quotes(foot_line), y(height - foot / 2));
  for (size_t i = 0; i < panels; ++i) {
    const size_t from_left = i % columns * panel_width + left, from_top = i / columns * panel_height + above;
    script += fmt::format("set lmargin at screen {:.6f}\nset rmargin at screen {:.6f}\n", x(from_left),
                          x(from_left + axes_width)) +
              fmt::format("set tmargin at screen {:.6f}\nset bmargin at screen {:.6f}\n", y(from_top),
                          y(from_top + axes_height)) +
              fmt::format("set key at screen {:.6f},{:.6f} center top vertical maxcols 1 Left reverse samplen 2.5 "
                          "noenhanced\n",
                          x(from_left + axes_width / 2), y(from_top + axes_height + below)) +
              panel(i) + "unset label 1\n";
  }
  return script + "unset multiplot\n";
}

std::string histogram_script(const Histogram& histogram) {
  const auto& [title, low, high, counts] = histogram;
  const double width = (high - low) / static_cast<double>(counts.size());
  const int64_t most = std::max<int64_t>(1, *std::max_element(counts.begin(), counts.end()));
  std::string data = "$bins << EOD\n";
  for (size_t i = 0; i < counts.size(); ++i)
    data += fmt::format("{:.12g} {}\n", low + (static_cast<double>(i) + 0.5) * width, counts[i]);
  const double top = 1.05 * static_cast<double>(most);
  return data + fmt::format("EOD\nset title {}\nset xrange [{:.12g}:{:.12g}]\nset xtics {}\n", in_quotes(title), low,
                            high, ticks(low, high, 5)) +
         fmt::format("set yrange [0:{:.12g}]\nset ytics {}\nset boxwidth {:.12g} absolute\n", top, ticks(0, top, 5),
                     width) +
         fmt::format("plot $bins with boxes fs solid 0.7 noborder lc rgb '#{}' notitle\n", colours[0]);
}

void draw_script(const std::string& script, const OutputPlace& place) {
  const std::string& path = place.path();
  try {
    ChildProcess gnuplot({"gnuplot"}, script);
    const int status = gnuplot.wait();
    const std::string picture = gnuplot.output();
    if (status != 0 || picture.empty()) {
      std::string reason = gnuplot.error();
      while (reason.ends_with('\n')) reason.pop_back();
      reason.erase(0, reason.rfind('\n') + 1);
      throw Failure(message("gnuplot cannot draw ", path, ": ", reason.empty() ? message("status ", status) : reason));
    }
    place.put(picture);
  } catch (const ProgramMissing&) {
    throw Failure("gnuplot is missing: apt-get install gnuplot-nox");
  }
}

}  // namespace

std::string picture_format(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension != ".png" && extension != ".svg")
    throw Error("--out " + path + ": expected a name that ends in .png or .svg");
  return extension.substr(1);
}

std::string gnuplot_script(const std::vector<Panel>& panels, const std::string& column, const std::string& format) {
  size_t curves = 0;
  std::vector<std::string> labels;
  for (const Panel& panel : panels) {
    curves = std::max(curves, panel.curves.size());
    for (const LearningCurve& curve : panel.curves)
      if (std::find(labels.begin(), labels.end(), curve.label) == labels.end()) labels.push_back(curve.label);
  }
  return multiplot(format, panels.size(), curves, "environment steps", legend(panels),
                   [&](size_t i) { return panel_script(panels[i], column, labels); });
}

std::string gnuplot_script(const std::vector<Histogram>& histograms, const std::string& format) {
  return multiplot(format, histograms.size(), 0, "", "", [&](size_t i) { return histogram_script(histograms[i]); });
}

void draw(const std::vector<Panel>& panels, const std::string& column, const OutputPlace& place) {
  draw_script(gnuplot_script(panels, column, picture_format(place.path())), place);
}

void draw(const std::vector<Histogram>& histograms, const OutputPlace& place) {
  draw_script(gnuplot_script(histograms, picture_format(place.path())), place);
}

Histogram histogram(std::string title, const std::vector<double>& values) {
  Range range;
  for (const double value : values) range.include(in_reach(value));
  if (!(range.high > range.low)) range = values.empty() ? Range{0, 1} : range.widened();
  Histogram result{std::move(title), range.low, range.high, std::vector<int64_t>(40, 0)};
  for (const double value : values) {
    const double share = (in_reach(value) - range.low) / (range.high - range.low);
    ++result.counts[std::min<size_t>(static_cast<size_t>(share * 40), 39)];
  }
  return result;
}

}  // namespace meander
