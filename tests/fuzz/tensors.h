#pragma once

// For targets whose input is one byte that says what the rest is, and then a file of tensors or a text: mutator.cpp
// changes these. The byte alone stands for what the program itself writes or the tests have, so that no kept input
// grows old.

#include <cstdint>
#include <string>

namespace meander::fuzz {

extern const bool first_byte_says;        // false: the input is a file of tensors
bool is_text(uint8_t first);              // whether the rest is a text
std::string whole_input(uint8_t first);   // what the byte alone stands for, without it

}  // namespace meander::fuzz
