// Philox 4x32-10 and the normals made of it. See formula.h and kernels/philox.h.

// The ten rounds: the counter `word` becomes the four words of its block.
MEANDER_FORMULA void philox_rounds(uint32_t key0, uint32_t key1, I (&word)[4]) {
  for (int round = 0; round < 10; ++round) {
    const I high0 = multiply_high(word[0], 0xD2511F53u), low0 = low_product(word[0], 0xD2511F53u);
    const I high1 = multiply_high(word[2], 0xCD9E8D57u), low1 = low_product(word[2], 0xCD9E8D57u);
    word[0] = high1 ^ word[1] ^ static_cast<int32_t>(key0);
    word[1] = low1;
    word[2] = high0 ^ word[3] ^ static_cast<int32_t>(key1);
    word[3] = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// One word as a number strictly between 0 and 1.
MEANDER_FORMULA float uniform_of(uint32_t bits) { return (static_cast<float>(bits >> 9) + 0.5f) * 0x1p-23f; }

// sqrt(-2 log u0) (cos, sin)(2 pi u1)
MEANDER_FORMULA void box_muller(V u0, V u1, V& first, V& second) {
  V sine, cosine;
  const V radius = sqrt(-2.0f * log(u0));
  sincos(6.28318531f * u1, sine, cosine);
  first = radius * cosine;
  second = radius * sine;
}
