// A decision by one instruction set. Included by policy.cpp, inside the namespace of that set.
namespace {

// ---- weights --------------------------------------------------------------------------------------------------------
static inline V load_weights(const float* p) { return load(p); }
// From float16, exactly; infinities and NaN, which no blob has, become large numbers where it is done by hand.
static inline V load_weights(const uint16_t* p) {
#if MEANDER_VECTOR_BYTES == 64
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p)));
#elif MEANDER_VECTOR_BYTES == 32
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p)));
#elif MEANDER_VECTOR_BYTES == 16 && defined(__ARM_NEON)
  return (V)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
  uint32_t half[W];
  for (int j = 0; j < W; ++j) half[j] = p[j];
  const U bits = __builtin_bit_cast(U, half);
  const V magnitude = as_float((I)((bits & 0x7fffu) << 13)) * 0x1p112f;
  return as_float(as_int(magnitude) | (I)((bits & 0x8000u) << 16));
#endif
}

// B of a tile: panels of 16 columns, `next` numbers apart.
template <class T>
struct Panels {
  const T* at;
  Size next;
  V vector(int j) const { return load_weights(at + j / groups * next + j % groups * W); }
  void prefetch(int) const {}
  void advance() { at += panel; }
};
struct Rows {
  const float* at;
  Size stride;
  float row(int i) const { return at[i * stride]; }
  void advance() { ++at; }
};

// ---- products: c [rows, n] = init [1, n] + a [rows, k] B ------------------------------------------------------------
// The heights of tiles, and how many panels wide each is, as the registers allow.
#if MEANDER_VECTOR_BYTES == 64
#define MEANDER_TILES(TILE) TILE(1, 8) TILE(2, 8) TILE(4, 4) TILE(8, 2) TILE(10, 2) TILE(12, 2)
#elif MEANDER_VECTOR_BYTES == 32
#define MEANDER_TILES(TILE) TILE(1, 4) TILE(2, 2) TILE(4, 1) TILE(5, 1)
#elif MEANDER_VECTOR_BYTES == 16 && defined(__ARM_NEON)
#define MEANDER_TILES(TILE) TILE(1, 4) TILE(5, 1)
#elif MEANDER_VECTOR_BYTES == 16
#define MEANDER_TILES(TILE) TILE(1, 1) TILE(3, 1)
#else
#define MEANDER_TILES(TILE) TILE(1, 1)
#endif

// The height that takes the least time for so many rows, of which two are as much as reading the panel once.
static inline Size tile_height(Size rows) {
  Size best = 1, least = 3 * rows;
#define MEANDER_TILE(height, wide)                                       \
  if (height <= rows) {                                                  \
    const Size cost = (rows + height - 1) / height * (height + 2);       \
    if (cost <= least) best = height, least = cost;                      \
  }
  MEANDER_TILES(MEANDER_TILE)
#undef MEANDER_TILE
  return best;
}

// A tile of one panel, for fewer than the others take.
constexpr Size few = MEANDER_VECTOR_BYTES == 4 ? 1 : MEANDER_VECTOR_BYTES == 16 ? 3 : 4;

template <int height, int wide, class T>
static void tiles(Size rows, Size k, const float* a, Size a_stride, Panels<T> b, const float* init, float* c,
                  Size c_stride) {
  for (Size i = 0;; i += height) {
    if (i + height > rows) i = rows - height;  // the last computes some rows a second time
    multiply<height, wide * groups>(k, Rows{a + i * a_stride, a_stride}, b, init, 0, c + i * c_stride, c_stride);
    if (i + height == rows) return;
  }
}

template <class T>
MEANDER_ONCE static void product(Size rows, Size n, Size k, const float* a, Size a_stride, const T* b,
                                 const float* init, float* c, Size c_stride) {
  const Size height = tile_height(rows), panels = padded(static_cast<uint32_t>(n)) / panel, next = k * panel;
  Size p = 0;
  const auto cover = [&]<int tall, int wide>() {
    for (; p + wide <= panels; p += wide)
      tiles<tall, wide>(rows, k, a, a_stride, Panels<T>{b + p * next, next}, init + p * panel, c + p * panel,
                        c_stride);
  };
  switch (height) {
#define MEANDER_TILE(tall, wide) \
  case tall: cover.template operator()<tall, wide>(); break;
    MEANDER_TILES(MEANDER_TILE)
#undef MEANDER_TILE
  }
  // The panels that are left, or the only one, of a last layer.
  if (rows >= few) cover.template operator()<few, 1>();
  else cover.template operator()<1, 1>();
}
#undef MEANDER_TILES

// ---- networks -------------------------------------------------------------------------------------------------------
MEANDER_ONCE static void product(const Blob& blob, Size rows, Size n, Size k, const float* a, Size a_stride,
                                 uint32_t weight, const float* init, float* c, Size c_stride) {
#ifndef MEANDER_POLICY_FLOAT32_ONLY
  if (blob.header().weights == static_cast<uint32_t>(Weights::float16))
    return product(rows, n, k, a, a_stride, blob.at<uint16_t>(weight), init, c, c_stride);
#endif
  product(rows, n, k, a, a_stride, blob.at<float>(weight), init, c, c_stride);
}

MEANDER_ONCE static void activate_rows(Activation which, Size rows, Size cols, float* z, Size stride) {
  with_activation(which, [&]<Activation activation>() {
    for (Size i = 0; i < rows; ++i, z += stride)
      for (Size j = 0; j < cols; j += W) store(z + j, activate<activation>(load(z + j)));
  });
}

// Norm and activation of a hidden layer, in place.
MEANDER_ONCE static void finish(const Blob& blob, const Network& network, const Layer& layer, Size rows, float* z,
                                Size stride) {
  const auto activation = static_cast<Activation>(network.activation);
  const auto norm = static_cast<Norm>(network.norm);
  const Size cols = padded(layer.outputs);
  if (norm == Norm::after_activation) activate_rows(activation, rows, cols, z, stride);
  if (norm != Norm::none)
    layer_norm(rows, layer.outputs, network.norm_eps, z, blob.at<float>(layer.scale), blob.at<float>(layer.shift), z,
               stride, nullptr, nullptr);
  if (norm != Norm::after_activation) activate_rows(activation, rows, cols, z, stride);
}

// The observation's share of the first layer's sums, the bias included.
MEANDER_ONCE static void share_of_state(const Blob& blob, const Network& network, const float* state, float* share) {
  product(blob, 1, network.layer[0].outputs, blob.header().observations, state, 0, network.state_weight,
          blob.at<float>(network.layer[0].bias), share, 0);
}

// Rows of own inputs through the network, whose first sums begin at `start`; returns the outputs, rows room.stride
// apart.
MEANDER_ONCE static const float* through(const Blob& blob, const Network& network, const Room& room, Size rows,
                                         const float* own, Size own_stride, const float* start) {
  const float* a = own;
  Size a_stride = own_stride, k = network.own_inputs;
  float *c = room.rows[0], *other = room.rows[1];
  for (uint32_t l = 0;; ++l) {
    const Layer& layer = network.layer[l];
    product(blob, rows, layer.outputs, k, a, a_stride, layer.weight, l ? blob.at<float>(layer.bias) : start, c,
            room.stride);
    if (l + 1 == network.layers) return c;
    finish(blob, network, layer, rows, c, room.stride);
    a = c, a_stride = room.stride, k = layer.outputs;
    float* const next = other;
    other = c;
    c = next;
  }
}

// ---- noise ----------------------------------------------------------------------------------------------------------
// kernels::philox_normal
MEANDER_ONCE static void normals(const meander_noise& noise, Size n, float* out) {
  constexpr Size most = 64;  // words at a time
  const uint32_t key[2] = {static_cast<uint32_t>(noise.seed), static_cast<uint32_t>(noise.seed >> 32)};
  const uint32_t counter[3] = {noise.purpose, static_cast<uint32_t>(noise.step),
                               static_cast<uint32_t>(noise.step >> 32)};
  for (Size i = 0; i < n; i += most) {
    uint32_t bits[most];
    const Size words = n - i < most ? n - i : most;
    philox_bits(key, static_cast<uint32_t>(i / 4), counter, (words + 3) / 4, bits);
    box_muller(words / 2, bits, out + i);
    if (words % 2) {  // the last pair gives one number
      float pair[2];
      box_muller(1, bits + words - 1, pair);
      out[i + words - 1] = pair[0];
    }
  }
}

// ---- acting ---------------------------------------------------------------------------------------------------------
// Candidates, bounded, in room.candidates.
static void generate(const Blob& blob, const Room& room, const meander_noise& noise, Size candidates) {
  const Header& header = blob.header();
  const Network& network = blob.network(0);
  const Size numbers = blob.numbers(), stride = room.candidate_stride;
  float* const x = room.candidates;
  const auto actor = static_cast<Actor>(header.actor);
  if (actor != Actor::mean) {
    float* const drawn = room.rows[0];
    normals(noise, candidates * numbers, drawn);
    for (Size i = 0; i < candidates; ++i)
      for (Size j = 0; j < stride; ++j) x[i * stride + j] = j < numbers ? drawn[i * numbers + j] : 0.0f;
  }
  share_of_state(blob, network, room.state, room.share);
  const Size width = padded(network.layer[0].outputs);
  const float step = -1.0f / static_cast<float>(header.steps);
  for (uint32_t t = 0; t < header.steps; ++t) {
    const float* start = room.share;
    if (actor == Actor::flow) {
      const float* const times = blob.at<float>(header.times) + t * width;
      for (Size j = 0; j < width; j += W) store(room.start + j, load(room.share + j) + load(times + j));
      start = room.start;
    }
    const float* const y = through(blob, network, room, candidates, x, stride, start);
    for (Size i = 0; i < candidates; ++i)
      for (Size j = 0; j < stride; j += W) {
        const V out = load(y + i * room.stride + j);
        store(x + i * stride + j, actor == Actor::flow ? load(x + i * stride + j) + step * out : out);
      }
  }
  const bool squash = static_cast<Bound>(header.bound) == Bound::tanh;
  for (Size j = 0; j < candidates * stride; j += W) {
    const V v = load(x + j);
    store(x + j, squash ? tanh(v) : v < -1.0f ? broadcast(-1.0f) : v > 1.0f ? broadcast(1.0f) : v);  // a NaN stays
  }
}

// Of the candidates the one with the largest Q, and that Q.
static Size best_candidate(const Blob& blob, const Room& room, Size candidates, float& value) {
  const Header& header = blob.header();
  for (int critic = 0; critic < 2; ++critic) {
    const Network& network = blob.network(1 + critic);
    share_of_state(blob, network, room.state, room.share);
    const float* const out =
        through(blob, network, room, candidates, room.candidates, room.candidate_stride, room.share);
    for (Size i = 0; i < candidates; ++i) {
      const float* const row = out + i * room.stride;
      float& q = room.q[critic][i];
      if (header.atoms) softmax_expectation(1, header.atom_count, row, blob.at<float>(header.atoms), &q);
      else q = row[0];
    }
  }
  Size best = 0;
  for (Size i = 0; i < candidates; ++i) {
    const float a = room.q[0][i], b = room.q[1][i];
    const float q = static_cast<Choice>(header.choice) == Choice::smaller ? (a < b ? a : b) : 0.5f * (a + b);
    if (i == 0 || value < q) best = i, value = q;
  }
  return best;
}

static const float* decide(const Blob& blob, const Room& room, const meander_noise& noise, Size candidates,
                           float* value) {
  generate(blob, room, noise, candidates);
  const Size best = value ? best_candidate(blob, room, candidates, *value) : 0;
  return room.candidates + best * room.candidate_stride;
}

}  // namespace

const Code code = {MEANDER_ISA_NAME, MEANDER_ISA_EXACT, decide, normals};
