// peer_onednn: perceptrons as one product with bias a layer by oneDNN, weights in the layout it likes best, and one
// pass of norm and activation over its result, on the same OpenMP threads.
#include <omp.h>

#include <algorithm>
#include <dnnl.hpp>
#include <unordered_map>

#include "bench/mlp_cases.h"
#include "bench/peers/protocol.h"
#include <meander/kernels/error.h>
#include <meander/kernels/threads.h>

using namespace meander;
using namespace meander::bench;

namespace {

struct Layer {
  dnnl::matmul product;
  std::unordered_map<int, dnnl::memory> arguments;
};

struct Chain {
  Perceptron net;
  int64_t rows;
  Buffer x;
  std::vector<Buffer> z;  // of each layer
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::vector<Layer> layers;

  Chain(const Data& data, Perceptron&& network, const std::string& prefix, int64_t n)
      : net(std::move(network)), rows(n), x(data.normals(prefix + ".x", n * net.shape.width[0])) {
    using dnnl::memory;
    const auto matrix = [](int64_t m, int64_t k, memory::format_tag tag) {
      return memory::desc({m, k}, memory::data_type::f32, tag);
    };
    float* input = x.data();
    for (int l = 0; l < net.shape.layers; ++l) {
      const int64_t in = net.shape.width[l], out = net.shape.width[l + 1];
      z.emplace_back(n * out);
      const auto plain = memory::format_tag::ab;
      const dnnl::matmul::desc description(matrix(n, in, plain), matrix(in, out, memory::format_tag::any),
                                           matrix(1, out, plain), matrix(n, out, plain));
      const dnnl::matmul::primitive_desc primitive(description, engine);
      memory given(matrix(in, out, plain), engine, net.params.data() + net.shape.weight[l]);
      memory packed(primitive.weights_desc(), engine);
      dnnl::reorder(given, packed).execute(stream, given, packed);
      layers.push_back({dnnl::matmul(primitive),
                        {{DNNL_ARG_SRC, memory(matrix(n, in, plain), engine, input)},
                         {DNNL_ARG_WEIGHTS, packed},
                         {DNNL_ARG_BIAS, memory(matrix(1, out, plain), engine, net.params.data() + net.shape.bias[l])},
                         {DNNL_ARG_DST, memory(matrix(n, out, plain), engine, z.back().data())}}});
      input = z.back().data();
    }
    stream.wait();
  }
  const Buffer& result() const { return z.back(); }

  void run() {
    for (int l = 0; l < net.shape.layers; ++l) {
      layers[static_cast<size_t>(l)].product.execute(stream, layers[static_cast<size_t>(l)].arguments);
      if (l + 1 == net.shape.layers) continue;
      const int64_t out = net.shape.width[l + 1], block = 8, blocks = (rows + block - 1) / block;
      float* const output = z[static_cast<size_t>(l)].data();
#pragma omp parallel for schedule(static) if (blocks > 1)
      for (int64_t b = 0; b < blocks; ++b)
        kernels::mlp_finish_layer(net.shape, net.params.data(), l, std::min(block, rows - b * block),
                                  output + b * block * out);
    }
    stream.wait();
  }
};

Case make_mlp(const MlpDescription& d, const Data& data) {
  if (d.precision != kernels::Precision::float32) throw Error("float32 only");
  const auto c = std::make_shared<Chain>(data, perceptron_of(d, data), "net", d.rows);
  return {.flop = d.flop(), .bytes = d.bytes(), .run = [c] { c->run(); }, .results = [c] {
            return std::vector<std::vector<float>>{c->result().numbers()};
          }};
}

Case make(const std::string& name, const Data& data) {
  if (name.starts_with("mlp/")) return make_mlp(MlpDescription(name), data);
  const int64_t rows = std::stoll(name.substr(name.find('/') + 1));
  const bool chain = name.starts_with("chain/");
  const auto c = std::make_shared<Chain>(data, chain ? chain_of_cases(data) : mlp_of_cases(data),
                                         chain ? "chain" : "mlp", rows);
  return {.flop = c->net.flop(rows),
          .bytes = c->net.bytes(rows),
          .run = [c] { c->run(); },
          .check = [c] { return mean_absolute(c->result().data(), c->result().size()); }};
}

}  // namespace

int main(int argc, char** argv) {
  return serve(argc, argv, [](const WorkerOptions& options) {
    omp_set_num_threads(options.threads);
    kernels::set_threads(1);
    const dnnl_version_t* const version = dnnl_version();
    Worker worker{.who = "onednn",
                  .version = "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
                             std::to_string(version->patch),
                  .note = "",
                  .cases = with_rows("mlp_forward", mlp_rows),
                  .passes = {"forward"},
                  .make = make};
    for (const std::string& name : with_rows("chain", chain_rows)) worker.cases.push_back(name);
    return worker;
  });
}
