// The functions of isa_layers.cpp that mlp_chain.h calls for a block of rows. Included inside an instruction set's
// namespace. The rows are those of hidden layer l, `stride` apart; pointers stand at the first of them.

// Slopes, normalised rows and their rstd, the latter two with a norm: with them the way back evaluates nothing twice.
// Rows of slopes and of normalised numbers lie one after the other.
struct KeptRows {
  float* slope;
  float* normalised;
  float* rstd;
};

// z, the dense layer's output, becomes the layer's; the tape's rows are written where there is one (kept is not null).
void finish_rows(const MlpShape& shape, const float* params, int l, int64_t rows, float* z, int64_t stride,
                 const MlpTape& tape);
// And each row's `directions` tangents of z, dz one below the other, become tangents of the layer's output.
void finish_rows_and_tangents(const MlpShape& shape, const float* params, int l, int64_t rows, float* z,
                              int64_t directions, float* dz, int64_t stride, const MlpTape& tape);
void finish_rows_and_slopes(const MlpShape& shape, const float* params, int l, int64_t rows, float* z, int64_t stride,
                            const KeptRows& kept);
// The layer's output as bfloat16 numbers, two in a word: rows of h, h_stride words apart; z is spoilt.
void finish_rows_bfloat16(const MlpShape& shape, const float* params, int l, int64_t rows, float* z, int64_t stride,
                          uint32_t* h, int64_t h_stride);
// d, cotangents of the layer's output, become those of the dense layer's.
void pull_kept_rows(const MlpShape& shape, const float* params, int l, int64_t rows, const KeptRows& kept, float* d,
                    int64_t stride);
