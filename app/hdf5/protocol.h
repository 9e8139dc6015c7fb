#pragma once

// What the command and the program meander-hdf5 say to each other over a socket. Numbers are little-endian.
//
// meander-hdf5 read FILE answers requests in order. A request is a head (RequestHead), a path and a name; an answer its
// request's letter, or '-' if there is nothing at the path, and
//
//     'l'  names in a group              count u64, each a text
//     't'  texts of an array             likewise
//     'a'  attribute NAME of an object   a text; whole numbers in decimal
//     's'  shape of an array             rank u32, i64 a dimension
//     'f'  float32 numbers of an array   its shape, then its numbers, row-major
//     'd'  float64 numbers               likewise
//
// A text is its length u32 and its bytes. meander-hdf5 write FILE takes heads with the letters
//
//     'a'  sets attribute NAME of the group PATH to a text
//     'n'  to a whole number             i64
//     'f' 'd' 'q' 'b'                    makes an array of float32, float64, int64 or uint8: as in an answer
//     't'  an array of texts             count u64, each a text
//
// and makes groups on the way. It ends with the input. What fails ends the program with status 1 and one line on its
// standard error.

#include <cstdint>

namespace meander::hdf5 {

struct RequestHead {
  char what;
  uint32_t path, name;  // lengths
} __attribute__((packed));

// What is refused on both sides.
constexpr uint32_t longest_text = 8 << 20, most_dimensions = 32;
constexpr uint64_t most_texts = 1'000'000;

}  // namespace meander::hdf5
