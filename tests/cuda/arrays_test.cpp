#include <meander/kernels/arrays.h>

#include "against_cpu.h"

// kernels/cuda/arrays.cu against the CPU: one exactly rounded operation an element, or none; hence equal bits.
namespace meander {
namespace {

using kernels::Binary;

// Some zeros of both signs, infinities and NaN among normal numbers.
Floats numbers(int64_t n, uint64_t seed) {
  Floats x = normals(n, seed);
  const float special[] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY, 1.0f};
  for (size_t i = seed % 5; i < x.size(); i += 5) x[i] = special[(i / 5 + seed) % 6];
  return x;
}

}  // namespace

// Protects every way to broadcast: the rows or columns of either operand, or of both.
TEST_CASE("binary operations have the CPU's bits") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : {Shape{1, 1}, {1, 7}, {5, 1}, {5, 3}, {3, 33}, {2, 376}})
      for (const Binary op : {Binary::add, Binary::subtract, Binary::multiply, Binary::divide, Binary::minimum,
                              Binary::maximum, Binary::less, Binary::left, Binary::where, Binary::where_not})
        for (int repeated = 0; repeated < 16; ++repeated) {
          CAPTURE(shape.rows);
          CAPTURE(shape.cols);
          CAPTURE(repeated);
          const int64_t a_rows = repeated & 1 ? 1 : shape.rows, a_cols = repeated & 2 ? 1 : shape.cols;
          const int64_t b_rows = repeated & 4 ? 1 : shape.rows, b_cols = repeated & 8 ? 1 : shape.cols;
          const Floats a = numbers(a_rows * a_cols, 1), b = numbers(b_rows * b_cols, 2);
          Floats want(static_cast<size_t>(shape.rows * shape.cols));
          kernels::binary(op, shape.rows, shape.cols, a.data(), a_rows, a_cols, b.data(), b_rows, b_cols, want.data());
          OnDevice here{d.k, {}};   // the emulator is slow with much memory in use
          const auto y = here.room(want.size());
          d.k.binary(op, shape.rows, shape.cols, here.up(a), a_rows, a_cols, here.up(b), b_rows, b_cols, y);
          CHECK(same_numbers(here.down(y), want));
        }
  });
}

// Protects also what lies before and after the array, and lengths and addresses that are no multiple of four.
TEST_CASE("unary operations have the CPU's bits") {
  on_each_device([](OnDevice& d) {
    for (const int64_t n : {1, 3, 4, 33, 1030})
      for (const int64_t shift : {0, 1}) {
        CAPTURE(n);
        const Floats x = numbers(n + shift, 3), before = numbers(n + shift, 4);
        const auto check = [&](auto run) {   // run(x, y, which): `which` holds the functions of device or CPU
          Floats want = before;
          run(x.data() + shift, want.data() + shift, false);
          const auto from = d.up(x), to = d.up(before);
          run(from + shift, to + shift, true);
          CHECK(same_numbers(d.down(to), want));
        };
        check([&](const float* p, float* y, bool device) {
          (device ? d.k.affine : kernels::affine<float>)(n, 1.7f, -0.3f, p, y);
        });
        check([&](const float* p, float* y, bool device) {
          (device ? d.k.square_root : kernels::square_root<float>)(n, p, y);
        });
        check([&](const float* p, float* y, bool device) { (device ? d.k.relu : kernels::relu<float>)(n, p, y); });
        check([&](const float* p, float* y, bool device) {
          (device ? d.k.clip : kernels::clip<float>)(n, -0.5f, 1, p, y);
        });
        check([&](const float* p, float* y, bool device) {
          (device ? d.k.inside : kernels::inside<float>)(n, -0.5f, 1, p, y);
        });
        check([&](const float* p, float* y, bool device) { (device ? d.k.add_to : kernels::add_to<float>)(n, p, y); });
        check([&](const float* p, float* y, bool device) {
          (device ? d.k.add_scaled : kernels::add_scaled<float>)(n, p, -0.3f, y, y);
        });
        check([&](const float*, float* y, bool device) {
          (device ? d.k.fill_value : kernels::fill_value<float>)(n, 2.5f, y);
        });
      }
  });
}

TEST_CASE("parts of rows are moved, rows repeated") {
  on_each_device([](OnDevice& d) {
    const struct {
      int64_t rows, cols, x_stride, group, y_stride;
    } cases[] = {{1, 1, 1, 1, 1}, {5, 3, 3, 1, 3}, {5, 3, 7, 1, 4}, {4, 33, 40, 1, 33}, {7, 3, 5, 3, 3},
                 {6, 21, 21, 2, 30}, {9, 101, 0, 1, 101}, {5, 1, 1, 5, 2}};
    for (const auto& c : cases) {
      CAPTURE(c.rows);
      CAPTURE(c.cols);
      const Floats x = numbers((c.rows / c.group + 1) * (c.x_stride + 1) + c.cols, 5);
      Floats want(static_cast<size_t>(c.rows * c.y_stride), 8.0f);
      const auto y = d.up(want);
      kernels::copy_matrix(c.rows, c.cols, x.data(), c.x_stride, c.group, want.data(), c.y_stride);
      d.k.copy_matrix(c.rows, c.cols, d.up(x), c.x_stride, c.group, y, c.y_stride);
      CHECK(same_numbers(d.down(y), want));
    }
  });
}

TEST_CASE("rows side by side and between two others") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : {Shape{1, 1}, {6, 3}, {2, 33}})
      for (const int64_t group : {int64_t{1}, shape.rows}) {
        const int64_t b_cols = 5;
        const Floats a = numbers(shape.rows * shape.cols, 1), b = numbers(shape.rows / group * b_cols, 2);
        for (const bool twice : {false, true}) {   // [a, b] and [a, b, a]
          using Parts = std::vector<kernels::ColumnsArguments<float>>;
          Parts here{{shape.cols, a.data(), 1}, {b_cols, b.data(), group}};
          Parts there{{shape.cols, d.up(a), 1}, {b_cols, d.up(b), group}};
          if (twice) here.push_back(here[0]), there.push_back(there[0]);
          Floats want(static_cast<size_t>(shape.rows * (shape.cols * (twice ? 2 : 1) + b_cols)));
          kernels::concat_columns<float>(shape.rows, here, want.data());
          const auto y = d.room(want.size());
          d.k.concat_columns(shape.rows, there, y);
          CHECK(same_numbers(d.down(y), want));
        }

        const Floats t = numbers(shape.rows, 3), other = numbers(shape.rows * shape.cols, 4);
        Floats between(a.size());
        kernels::interpolate(shape.rows, shape.cols, t.data(), a.data(), other.data(), between.data());
        const auto to = d.room(a.size());
        d.k.interpolate(shape.rows, shape.cols, d.up(t), d.up(a), d.up(other), to);
        CHECK(same_numbers(d.down(to), between));
      }
  });
}

TEST_CASE("groups of rows are summed in order") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : {Shape{1, 1}, {5, 3}, {2, 33}, {3, 101}})
      for (const int64_t group : {1, 2, 7}) {
        const Floats x = normals(shape.rows * group * shape.cols, 6);
        Floats want(static_cast<size_t>(shape.rows * shape.cols));
        kernels::sum_groups(shape.rows, shape.cols, group, x.data(), want.data());
        const auto y = d.room(want.size());
        d.k.sum_groups(shape.rows, shape.cols, group, d.up(x), y);
        CHECK(same_numbers(d.down(y), want));
      }
  });
}

// Protects the choice among equals (the first), with NaN and in a row of nothing but -infinity.
TEST_CASE("the place of the largest number is the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : edge_shapes)
      for (const bool ties : {false, true}) {
        CAPTURE(shape.rows);
        CAPTURE(shape.cols);
        Floats x = ties ? numbers(shape.rows * shape.cols, 7) : normals(shape.rows * shape.cols, 7);
        if (ties)
          for (float& v : x) v = std::round(v);
        if (ties) std::fill_n(x.end() - shape.cols, shape.cols, -INFINITY);
        const auto from = d.up(x);
        for (const int64_t step : {int64_t{0}, shape.cols}) {
          std::vector<int32_t> want(static_cast<size_t>(shape.rows));
          kernels::argmax_row(shape.rows, shape.cols, step, x.data(), want.data());
          const auto index = d.room<int32_t>(want.size());
          d.k.argmax_row(shape.rows, shape.cols, step, from, index);
          CHECK(d.down(index) == want);
        }
      }
  });
}

TEST_CASE("rows and columns are picked by index") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : edge_shapes) {
      const Floats x = numbers(shape.rows * shape.cols, 8);
      std::vector<int32_t> column, row;
      for (int64_t i = 0; i < shape.rows; ++i) column.push_back(static_cast<int32_t>(i * 13 % shape.cols));
      for (int64_t i = 0; i < shape.rows + 2; ++i) row.push_back(static_cast<int32_t>(i * 5 % shape.rows));
      const auto from = d.up(x);
      const auto columns = d.up(column), rows = d.up(row);

      Floats want(x.size());
      const auto hot = d.room(want.size());
      kernels::one_hot(shape.rows, shape.cols, column.data(), want.data());
      d.k.one_hot(shape.rows, shape.cols, columns, hot);
      CHECK(same_numbers(d.down(hot), want));

      want.resize(column.size());
      const auto picked = d.room(want.size());
      kernels::gather_row(shape.rows, shape.cols, x.data(), column.data(), want.data());
      d.k.gather_row(shape.rows, shape.cols, from, columns, picked);
      CHECK(same_numbers(d.down(picked), want));

      want.resize(row.size() * static_cast<size_t>(shape.cols));
      const auto taken = d.room(want.size());
      kernels::gather_rows(std::ssize(row), shape.cols, x.data(), row.data(), want.data());
      d.k.gather_rows(std::ssize(row), shape.cols, from, rows, taken);
      CHECK(same_numbers(d.down(taken), want));
    }
  });
}

// Protects the training that must stop: one number among many, at any place, and no false alarm.
TEST_CASE("a number that is not finite raises the flag") {
  on_each_device([](OnDevice& d) {
    for (const int64_t n : {1, 4, 7, 1001})
      for (const float bad : {NAN, INFINITY, -INFINITY, 3e38f})
        for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
          Floats x = normals(n, 9);
          x[static_cast<size_t>(at)] = bad;
          const auto flag = d.up(std::vector<uint32_t>{0});
          using Arrays = std::vector<kernels::FiniteArguments>;
          d.k.flag_not_finite(Arrays{{n, d.up(x), 3}, {2, d.up(normals(2, 1)), 5}}, flag);
          CHECK(d.down(flag)[0] == (std::isfinite(bad) ? 0u : 3u));
          d.k.flag_not_finite(Arrays{{n, d.up(x), 4}}, flag);   // the first one stays
          CHECK(d.down(flag)[0] == (std::isfinite(bad) ? 0u : 3u));
        }
    const auto flag = d.up(std::vector<uint32_t>{1});
    d.k.flag_not_finite(std::vector<kernels::FiniteArguments>{{3, d.up(normals(3, 1)), 2}}, flag);
    CHECK(d.down(flag)[0] == 1u);
  });
}

// Protects metrics: numbers from here and there each at its place, more than one launch takes, nothing else written.
TEST_CASE("numbers are gathered") {
  on_each_device([](OnDevice& d) {
    const Floats x = normals(50, 3);
    const auto from = d.up(x), y = d.up(Floats(60, 7.0f));
    std::vector<kernels::NumberArguments> numbers;
    Floats want(60, 7.0f);
    for (int64_t i = 0; i < 40; ++i) {
      numbers.push_back({from + (i * 7) % 50, 59 - i});
      want[static_cast<size_t>(59 - i)] = x[static_cast<size_t>((i * 7) % 50)];
    }
    d.k.gather_numbers(numbers, y);
    CHECK(d.down(y) == want);
  });
}

// Protects the rest of an array or matrix that is larger than all threads of the largest launch (blocks_for). Without
// the sanitizers, under which it takes long and which see nothing new in it.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("threads go on to the elements and rows beyond the launch") {
  on_each_device([](OnDevice& d) {
    const int64_t n = int64_t{4096} * 256 * 4 + 7;
    const auto x = d.up(normals(n, 1)), y = d.room(static_cast<size_t>(n));
    d.k.affine(n, 2, 0, x, y);
    Floats want = d.down(x);
    for (float& v : want) v *= 2;
    CHECK(same_numbers(d.down(y), want));

    const int64_t rows = 4096 * 4 + 5, cols = 17;
    want.assign(static_cast<size_t>(rows), 0);
    kernels::sum_row(rows, cols, d.down(x).data(), want.data());
    const auto sum = d.room(want.size());
    d.k.sum_row(rows, cols, x, sum);
    CHECK(same_numbers(d.down(sum), want));
  });
}
#endif

}  // namespace meander
