// Whether what a blob says of itself can be: after this nothing that it points to lies beyond it. Included by
// policy.cpp only, inside its anonymous namespace.

bool in_range(uint32_t n, uint32_t low, uint32_t high) { return low <= n && n <= high; }

// `bytes` from `offset` on lie in the blob, behind its header.
bool inside(const Header& header, uint32_t offset, uint64_t bytes) {
  return offset >= sizeof(Header) && offset % alignment == 0 && offset <= header.size && bytes <= header.size - offset;
}
bool row_inside(const Header& header, uint32_t offset, uint32_t n) {
  return inside(header, offset, uint64_t{padded(n)} * sizeof(float));
}
bool matrix_inside(const Header& header, uint32_t offset, uint32_t in, uint32_t out) {
  const uint32_t bytes = header.weights == static_cast<uint32_t>(Weights::float16) ? 2 : 4;
  return inside(header, offset, uint64_t{in} * padded(out) * bytes);
}

bool is_network(const Blob& blob, int which, uint32_t own_inputs, uint32_t outputs) {
  const Header& header = blob.header();
  if (!inside(header, header.network[which], sizeof(Network))) return false;
  const Network& network = blob.network(which);
  if (!in_range(network.layers, 1, most_layers) || network.own_inputs != own_inputs) return false;
  if (network.activation >= sizeof kernels::activations / sizeof *kernels::activations ||
      network.norm > static_cast<uint32_t>(Norm::after_activation) ||
      !(network.norm_eps > 0.0f && network.norm_eps < 1.0f))
    return false;
  uint32_t in = own_inputs;
  for (uint32_t l = 0; l < network.layers; ++l) {
    const Layer& layer = network.layer[l];
    const bool normed = l + 1 < network.layers && static_cast<Norm>(network.norm) != Norm::none;
    if (!in_range(layer.outputs, 1, most_numbers) || !matrix_inside(header, layer.weight, in, layer.outputs) ||
        !row_inside(header, layer.bias, layer.outputs))
      return false;
    if (normed &&
        (!row_inside(header, layer.scale, layer.outputs) || !row_inside(header, layer.shift, layer.outputs)))
      return false;
    in = layer.outputs;
  }
  return in == outputs && matrix_inside(header, network.state_weight, header.observations, network.layer[0].outputs);
}

bool has_magic(const Header& header) {
  for (uint32_t i = 0; i < sizeof magic; ++i)
    if (header.magic[i] != magic[i]) return false;
  return true;
}

// Both rows or neither.
bool rows_or_none(const Header& header, uint32_t a, uint32_t b, uint32_t n) {
  return (!a && !b) || (row_inside(header, a, n) && row_inside(header, b, n));
}

bool is_well_formed(const Blob& blob) {
  const Header& h = blob.header();
  if (!in_range(h.observations, 1, most_numbers) || !in_range(h.actions, 1, most_numbers) ||
      !in_range(h.chunk, 1, most_numbers) || uint64_t{h.chunk} * h.actions > most_numbers)
    return false;
  const uint32_t numbers = h.chunk * h.actions;
  if (h.weights > static_cast<uint32_t>(Weights::float16) || h.actor > static_cast<uint32_t>(Actor::one_step) ||
      h.bound > static_cast<uint32_t>(Bound::tanh) || h.choice > static_cast<uint32_t>(Choice::mean))
    return false;
  const auto actor = static_cast<Actor>(h.actor);
  const bool choice = h.choice != static_cast<uint32_t>(Choice::none);
  if (!in_range(h.steps, 1, actor == Actor::flow ? most_steps : 1) ||
      !in_range(h.candidates, 1, choice && actor != Actor::mean ? most_candidates : 1))
    return false;
  if (!is_network(blob, 0, actor == Actor::mean ? 0 : numbers, numbers)) return false;
  if (actor == Actor::flow &&
      !inside(h, h.times, uint64_t{h.steps} * padded(blob.network(0).layer[0].outputs) * sizeof(float)))
    return false;
  if (choice) {
    if (h.atoms ? !in_range(h.atom_count, 1, most_numbers) || !row_inside(h, h.atoms, h.atom_count)
                : h.atom_count != 0)
      return false;
    const uint32_t outputs = h.atoms ? h.atom_count : 1;
    if (!is_network(blob, 1, numbers, outputs) || !is_network(blob, 2, numbers, outputs)) return false;
  }
  return rows_or_none(h, h.mean, h.deviation, h.observations) &&
         rows_or_none(h, h.action_low, h.action_high, h.actions) && h.test_count <= most_tests &&
         (!h.test_count || inside(h, h.tests, uint64_t{h.test_count} * test_size(h.observations, numbers))) &&
         (!h.text_size || inside(h, h.text, h.text_size));
}
