// peer_openblas: perceptrons as one product a layer by OpenBLAS and one pass of bias, norm and activation over its
// result; and the products of an MFPO update alone. OPENBLAS_CORETYPE chooses the core.
#include <cblas.h>

#include <algorithm>
#include <utility>

#include "bench/mlp_cases.h"
#include "bench/peers/protocol.h"
#include "bench/products_of_update.h"
#include <meander/kernels/error.h>
#include <meander/kernels/threads.h>

using namespace meander;
using namespace meander::bench;

namespace {

typedef float Vector __attribute__((vector_size(64)));
Vector load(const float* p) {
  Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
void store(float* p, Vector v) { __builtin_memcpy(p, &v, sizeof v); }

// The rows are shared among the threads, each with its own single-threaded products and pass: OpenBLAS's threads spin
// after a product and would stand in the way of those of the pass.
struct Chain {
  Perceptron net;
  int64_t rows;
  Buffer x;
  std::vector<Buffer> z;  // of each layer

  Chain(const Data& data, Perceptron&& network, const std::string& prefix, int64_t n)
      : net(std::move(network)), rows(n), x(data.normals(prefix + ".x", n * net.shape.width[0])) {
    for (int l = 0; l < net.shape.layers; ++l) z.emplace_back(n * net.shape.width[l + 1]);
    openblas_set_num_threads(1);
  }
  const Buffer& result() const { return z.back(); }

  void run() {
    const int64_t share = (rows + kernels::threads() - 1) / kernels::threads();
    kernels::parallel_for(rows, share, [&](int64_t begin, int64_t end) {
      const float* input = x.data() + begin * net.shape.width[0];
      for (int l = 0; l < net.shape.layers; ++l) {
        const int64_t in = net.shape.width[l], out = net.shape.width[l + 1];
        float* const output = z[static_cast<size_t>(l)].data() + begin * out;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(end - begin), static_cast<int>(out),
                    static_cast<int>(in), 1.0f, input, static_cast<int>(in), net.params.data() + net.shape.weight[l],
                    static_cast<int>(out), 0.0f, output, static_cast<int>(out));
        pass(l, end - begin, output);
        input = output;
      }
    });
  }

  // The bias of a few rows, then their norm and activation while they are in cache.
  void pass(int layer, int64_t count, float* output) const {
    constexpr int64_t block = 8;
    const int64_t out = net.shape.width[layer + 1];
    const float* const bias = net.params.data() + net.shape.bias[layer];
    for (int64_t i = 0; i < count; i += block) {
      const int64_t n = std::min(block, count - i);
      for (int64_t r = i; r < i + n; ++r) {
        float* const row = output + r * out;
        int64_t j = 0;
        for (; j + 16 <= out; j += 16) store(row + j, load(row + j) + load(bias + j));
        for (; j < out; ++j) row[j] += bias[j];
      }
      if (layer + 1 < net.shape.layers)
        kernels::mlp_finish_layer(net.shape, net.params.data(), layer, n, output + i * out);
    }
  }
};

Case chain_case(const Data& data, Perceptron&& network, const std::string& prefix, int64_t rows) {
  const auto c = std::make_shared<Chain>(data, std::move(network), prefix, rows);
  return {.flop = c->net.flop(rows),
          .bytes = c->net.bytes(rows),
          .run = [c] { c->run(); },
          .check = [c] { return mean_absolute(c->result().data(), c->result().size()); }};
}

// OpenBLAS's own threads, as nothing else runs.
Case products_case(const Data& data, int64_t observations, int64_t actions, int threads) {
  struct State {
    ProductsOfUpdate products;
    Buffer a, b, c;
  };
  const auto s = std::make_shared<State>(State{ProductsOfUpdate(observations, actions), {}, {}, {}});
  int64_t most = 0;
  for (const Product& p : s->products.list()) most = std::max({most, p.m * p.n, p.m * p.k, p.n * p.k});
  s->a = data.normals("mlp.x", std::min(most, int64_t{12288} * 87));
  // Repeated: the data file holds no matrix of that size.
  const Buffer some = std::exchange(s->a, Buffer(most));
  s->b = Buffer(most), s->c = Buffer(most);
  for (int64_t i = 0; i < most; ++i) {
    s->a.data()[i] = some.data()[i % some.size()];
    s->b.data()[i] = some.data()[(i + 1000) % some.size()];
  }
  openblas_set_num_threads(threads);
  const auto run = [s, threads] {
    openblas_set_num_threads(threads);
    for (const Product& p : s->products.list()) {
      const bool ta = p.kind == Product::weight_gradient, tb = p.kind == Product::input_gradient;
      const int m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
      for (int64_t i = 0; i < p.count; ++i)
        cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1.0f,
                    s->a.data(), ta ? m : k, s->b.data(), tb ? k : n, 0.0f, s->c.data(), n);
    }
  };
  return {.flop = 1e9 * s->products.gflop(), .run = run};
}

Case mlp_case(const MlpDescription& d, const Data& data) {
  if (d.precision != kernels::Precision::float32) throw Error("float32 only");
  const auto c = std::make_shared<Chain>(data, perceptron_of(d, data), "net", d.rows);
  return {.flop = d.flop(), .bytes = d.bytes(), .run = [c] { c->run(); }, .results = [c] {
            return std::vector<std::vector<float>>{c->result().numbers()};
          }};
}

Case make(const std::string& name, const Data& data, int threads) {
  if (name.starts_with("mlp/")) return mlp_case(MlpDescription(name), data);
  if (name == "products_of_update/HalfCheetah") return products_case(data, 17, 6, threads);
  if (name == "products_of_update/Humanoid") return products_case(data, 376, 17, threads);
  const int64_t rows = std::stoll(name.substr(name.find('/') + 1));
  return name.starts_with("chain/") ? chain_case(data, chain_of_cases(data), "chain", rows)
                                    : chain_case(data, mlp_of_cases(data), "mlp", rows);
}

}  // namespace

int main(int argc, char** argv) {
  return serve(argc, argv, [](const WorkerOptions& options) {
    kernels::set_threads(options.threads);
    Worker worker{.who = options.who.empty() ? "openblas" : options.who,
                  .version = openblas_get_config(),
                  .note = std::string("core ") + openblas_get_corename(),
                  .cases = with_rows("mlp_forward", mlp_rows),
                  .passes = {"forward"},
                  .make = [threads = options.threads](const std::string& name, const Data& data) {
                    return make(name, data, threads);
                  }};
    for (const std::string& name : with_rows("chain", chain_rows)) worker.cases.push_back(name);
    for (const char* const task : {"HalfCheetah", "Humanoid"})
      worker.cases.push_back(std::string("products_of_update/") + task);
    return worker;
  });
}
