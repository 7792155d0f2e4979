// Apache-2.0. What a step on a GPU reads: made on the host, copied in one go.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pivotal::model {

// Arrays one after another in one piece of page-locked memory, and their copies in one piece on the device. Copies stay
// where they are until Grow() moves them: recorded work reads what the last Upload() brought.
class StepBuffer {
 public:
  explicit StepBuffer(c10::Device device) : device_(device) {}

  // Declares the next array, before the first Grow(). Returns its number.
  template <typename T>
  int Add() {
    arrays_.push_back({sizeof(T), 0, 0});
    return static_cast<int>(arrays_.size()) - 1;
  }
  // Makes room for sizes[i] elements of array i, where there is less; true if copies have moved.
  bool Grow(std::span<const int64_t> sizes);

  // On the host, to be written. The last Upload() must be over.
  template <typename T>
  T* host(int array) {
    return reinterpret_cast<T*>(host_.mutable_data_ptr<uint8_t>() + arrays_[static_cast<std::size_t>(array)].offset);
  }
  template <typename T>
  const T* device(int array) const {
    return reinterpret_cast<const T*>(copy_.const_data_ptr<uint8_t>() + arrays_[static_cast<std::size_t>(array)].offset);
  }
  // The first `size` elements on the device, as LibTorch has them: [size].
  at::Tensor tensor(int array, at::ScalarType type, int64_t size) const;

  // Host to device, on the current stream.
  void Upload();

 private:
  struct Array {
    std::size_t element;
    int64_t capacity;
    std::size_t offset;
  };
  c10::Device device_;
  std::vector<Array> arrays_;
  at::Tensor host_, copy_;  // bytes
};

}  // namespace pivotal::model
