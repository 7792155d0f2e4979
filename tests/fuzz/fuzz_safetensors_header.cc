// Apache-2.0. Fuzzes safetensors files. The first byte decides what the rest is: a whole file, a
// header (the target writes its length in front), or the index of a folder with shards.
#include <cstring>
#include <fstream>
#include <string>

#include "data/weights/safetensors.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace pivotal;

// Reads every byte of every tensor, which must lie inside the mapping.
void ReadAll() {
  const data::SafetensorsReader reader(testing::Folder().path());
  unsigned sum = 0;
  for (const std::string& name : reader.Names()) {
    testing::AllowError([&] {
      for (const std::byte byte : reader.Get(name).bytes) sum += static_cast<unsigned>(byte);
    });
  }
  volatile unsigned sink = sum;
  (void)sink;
}

std::string WithLength(std::string_view header) {
  const uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file.append(header).append(64, 'x');
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest = testing::Text(data + 1, size - 1);
  const auto& folder = testing::Folder();
  const auto index = folder.path() / "model.safetensors.index.json",
             single = folder.path() / "model.safetensors";
  std::filesystem::remove(index);
  std::filesystem::remove(single);
  if (data[0] % 3 == 2) {
    folder.Write("model.safetensors.index.json", rest);
    folder.Write("a.safetensors",
                 WithLength(R"({"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})"));
  } else {
    folder.Write("model.safetensors", data[0] % 3 == 0 ? std::string(rest) : WithLength(rest));
  }
  testing::AllowError(ReadAll);
  return 0;
}
