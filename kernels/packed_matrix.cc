// Apache-2.0.
#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>
#include <utility>

namespace pivotal::kernels {
namespace {

constexpr std::pair<WeightType, std::string_view> kNames[] = {{WeightType::kFloat32, "fp32"},
                                                              {WeightType::kBfloat16, "bf16"},
                                                              {WeightType::kFloat16, "fp16"},
                                                              {WeightType::kInt8, "int8"},
                                                              {WeightType::kNf4, "nf4"}};

// Rounds to nearest, ties to even; NaN stays NaN.
uint16_t ToBfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// Returns the scale of a row of weights: the one that stores the largest of them as 127.
float ScaleOf(const float* row, int64_t size) {
  float largest = 0;
  for (int64_t i = 0; i < size; ++i) largest = std::max(largest, std::fabs(row[i]));
  return largest / 127.0f;
}

// Converts the weights of one output and stores them in its column of a panel.
template <typename T, typename Convert>
void SetColumn(const float* row, int64_t inputs, T* column, Convert convert) {
  for (int64_t k = 0; k < inputs; ++k) column[k * kPanel] = convert(row[k]);
}

// Allocates bytes that are not initialized. Throws std::bad_alloc.
AlignedArray<std::byte> AllocateBytes(std::size_t bytes) {
  void* p = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (p == nullptr) throw std::bad_alloc();
  return AlignedArray<std::byte>(static_cast<std::byte*>(p));
}

}  // namespace

Float16 ToFloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  uint32_t size = bits & 0x7FFFFFFF;
  if (size > 0x7F800000) return {static_cast<uint16_t>(sign | 0x7E00)};  // NaN
  if (size >= 0x477FF000)
    return {static_cast<uint16_t>(sign | 0x7C00)};  // infinity: it rounds to 2^16 or more
  // Below 2^-14 numbers are multiples of 2^-24, the last bit of a float32 in [0.5, 1): adding 0.5
  // leaves the rounded multiple in the last bits.
  if (size < 0x38800000) {
    const float shifted = std::fabs(value) + 0.5f;
    std::memcpy(&size, &shifted, sizeof(size));
    return {static_cast<uint16_t>(sign | (size - 0x3F000000))};
  }
  size += 0xFFF + (size >> 13 & 1);
  return {static_cast<uint16_t>(sign | ((size - (112u << 23)) >> 13))};
}

std::string_view WeightTypeName(WeightType type) {
  return std::find_if(std::begin(kNames), std::end(kNames),
                      [&](const auto& n) { return n.first == type; })
      ->second;
}

std::optional<WeightType> FindWeightType(std::string_view name) {
  for (const auto& [type, known] : kNames)
    if (known == name) return type;
  return std::nullopt;
}

std::vector<std::string> WeightTypeNames() {
  std::vector<std::string> names;
  for (const auto& [type, name] : kNames) names.emplace_back(name);
  return names;
}

void FreeAligned::operator()(void* p) const { std::free(p); }

AlignedArray<float> AllocateFloats(std::size_t count) {
  auto bytes = AllocateBytes(count * sizeof(float));
  std::memset(bytes.get(), 0, count * sizeof(float));
  return AlignedArray<float>(reinterpret_cast<float*>(bytes.release()));
}

PackedMatrix::PackedMatrix(int64_t outputs, int64_t inputs, WeightType type)
    : outputs_(outputs), inputs_(inputs), type_(type) {
  const std::size_t size = DataBytes(panels()), last = DataBytes(panels() - 1);
  data_ = AllocateBytes(size);
  std::memset(data_.get() + last, 0, size - last);  // zeros for the padding of the last panel
  if (type == WeightType::kInt8 || type == WeightType::kNf4)
    scale_ = AllocateFloats(static_cast<std::size_t>(panels() * panel_scales()));
}

std::size_t PackedMatrix::DataBytes(int64_t panels) const {
  const auto weights = static_cast<std::size_t>(panels * kPanel * inputs_);
  switch (type_) {
    case WeightType::kFloat32: return 4 * weights;
    case WeightType::kInt8: return weights;
    case WeightType::kNf4: return weights / 2;
    default: return 2 * weights;
  }
}

void PackedMatrix::SetRows(int64_t first, int64_t count, const float* rows) {
  for (int64_t n = first; n < first + count; ++n, rows += inputs_) {
    const int64_t offset = n / kPanel * inputs_ * kPanel + n % kPanel;
    switch (type_) {
      case WeightType::kFloat32:
        SetColumn(rows, inputs_, reinterpret_cast<float*>(data_.get()) + offset,
                  [](float w) { return w; });
        break;
      case WeightType::kBfloat16:
        SetColumn(rows, inputs_, reinterpret_cast<uint16_t*>(data_.get()) + offset, ToBfloat16);
        break;
      case WeightType::kFloat16:
        SetColumn(rows, inputs_, reinterpret_cast<Float16*>(data_.get()) + offset, ToFloat16);
        break;
      case WeightType::kInt8: {
        scale_[n] = ScaleOf(rows, inputs_);
        const float inverse = scale_[n] > 0 ? 1.0f / scale_[n] : 0.0f;
        SetColumn(
            rows, inputs_, reinterpret_cast<int8_t*>(data_.get()) + offset, [inverse](float w) {
              return static_cast<int8_t>(std::lrint(std::clamp(w * inverse, -127.0f, 127.0f)));
            });
        break;
      }
      case WeightType::kNf4: break;  // SetNf4Panel
    }
  }
}

void PackedMatrix::SetNf4Panel(int64_t panel, std::span<const Nf4Row> rows) {
  constexpr std::size_t kHalf = kPanel / 2;
  auto* const to = reinterpret_cast<uint8_t*>(data_.get() + DataBytes(panel));
  const auto bytes = static_cast<std::size_t>(inputs_ / 2);  // of a row
  const std::vector<uint8_t> none(bytes);
  const uint8_t* codes[kPanel];
  float* const scales = scale_.get() + panel * panel_scales();
  for (std::size_t i = 0; i < kPanel; ++i) {
    codes[i] = none.data();
    if (i >= rows.size()) continue;  // its scales are 0
    const auto& [matrix, row] = rows[i];
    codes[i] = matrix->codes + row * inputs_ / 2;
    for (int64_t block = 0; block < Blocks(); ++block)
      scales[block * kPanel + static_cast<int64_t>(i)] = Nf4Scale(*matrix, row * Blocks() + block);
  }
  for (std::size_t byte = 0; byte < bytes; ++byte) {  // two inputs
    uint8_t* const pair = to + byte * kPanel;
    for (std::size_t j = 0; j < kHalf; ++j) {
      const std::size_t output = j % 4 * 4 + j / 4;  // and the one after the next
      const unsigned low = codes[output][byte], high = codes[output + 2][byte];
      pair[j] = static_cast<uint8_t>(low >> 4 | (high & 0xF0));
      pair[kHalf + j] = static_cast<uint8_t>((low & 15) | high << 4);
    }
  }
}

void PackedMatrix::SetBias(const float* bias) {
  bias_ = AllocateFloats(static_cast<std::size_t>(padded_outputs()));
  std::copy(bias, bias + outputs_, bias_.get());
}

std::size_t PackedMatrix::bytes() const {
  const auto padded = static_cast<std::size_t>(padded_outputs());
  return DataBytes(panels()) + (bias_ ? padded * 4 : 0) +
         (scale_ ? static_cast<std::size_t>(panels() * panel_scales()) * 4 : 0);
}

}  // namespace pivotal::kernels
