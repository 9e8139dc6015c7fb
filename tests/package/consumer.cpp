// A program of someone else's, with nothing but the installed library.
#include <core/safetensors.h>

#include <cstdio>

int main() {
  const float values[2] = {1, 2};
  meander::SafetensorsWriter writer;
  writer.add("values", {2}, values);
  writer.write("consumer.safetensors");
  meander::SafetensorsFile file("consumer.safetensors");
  std::printf("%g\n", static_cast<double>(file.values<float>("values", 2)[1]));
  return file.values<float>("values", 2)[1] == 2 ? 0 : 1;
}
