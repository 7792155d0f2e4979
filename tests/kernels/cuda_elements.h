// Apache-2.0. Device arrays of float32, bfloat16 or float16, for the tests of CUDA kernels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/decode_attention.h"
#include "kernels/philox.h"
#include "tests/kernels/cuda_on_cpu.h"
#ifdef PIVOTAL_CUDA_ON_GPU
#include "tests/kernels/cuda_on_gpu.h"
#endif

namespace pivotal::kernels::cuda {

#ifdef PIVOTAL_CUDA_ON_GPU
using cuda_on_gpu::DeviceArray;
#else
using cuda_on_cpu::DeviceArray;
#endif

inline std::string Name(ElementType type) {
  return type == ElementType::kFloat32 ? "fp32" : type == ElementType::kBfloat16 ? "bf16" : "fp16";
}

// Returns the largest relative error of rounding to this type.
inline double Rounding(ElementType type) {
  return type == ElementType::kFloat32    ? 0x1p-24
         : type == ElementType::kBfloat16 ? 0x1p-9
                                          : 0x1p-12;
}

// A device array whose element type is chosen at run time. Kernels take it as a void*.
class Elements {
 public:
  Elements(const std::string& name, ElementType type, const std::vector<float>& values)
      : type_(type),
        whole_(name, type == ElementType::kFloat32 ? values : std::vector<float>()),
        half_(name, type == ElementType::kFloat32 ? std::vector<uint16_t>() : Bits(type, values)) {}

  void* data() {
    return type_ == ElementType::kFloat32 ? static_cast<void*>(whole_.data()) : half_.data();
  }
  // Returns the elements as they were rounded.
  std::vector<float> values() const {
    if (type_ == ElementType::kFloat32) return whole_.values();
    std::vector<float> values;
    for (uint16_t bits : half_.values())
      values.push_back(type_ == ElementType::kBfloat16 ? __bfloat162float({bits})
                                                       : __half2float({bits}));
    return values;
  }

 private:
  static std::vector<uint16_t> Bits(ElementType type, const std::vector<float>& values) {
    std::vector<uint16_t> bits;
    for (float x : values)
      bits.push_back(type == ElementType::kBfloat16 ? __float2bfloat16(x).bits
                                                    : __float2half(x).bits);
    return bits;
  }

  ElementType type_;
  DeviceArray<float> whole_;
  DeviceArray<uint16_t> half_;
};

inline std::vector<float> RandomFloats(int64_t size, double bound, uint64_t seed) {
  RandomStream random(seed, 11);
  std::vector<float> values(static_cast<std::size_t>(size));
  for (float& v : values) v = static_cast<float>(bound * (2 * random.Uniform() - 1));
  return values;
}

}  // namespace pivotal::kernels::cuda
