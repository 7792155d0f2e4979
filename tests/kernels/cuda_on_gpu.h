// Apache-2.0. Arrays in the memory of a GPU, for the tests of CUDA kernels where there is a GPU.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace pivotal::kernels::cuda_on_gpu {

// Allocates memory filled with 0xFF bytes. All but Free throw std::runtime_error with CUDA's
// message.
void* Allocate(std::size_t bytes);
void Free(void* p) noexcept;
void Upload(void* to, const void* from, std::size_t bytes);
// Copies to the host after all launches have ended.
void Download(void* to, const void* from, std::size_t bytes);

// Does what cuda_on_cpu::DeviceArray does, on a GPU.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(const std::string&, std::size_t size)
      : data_(Allocate(size * sizeof(T))), size_(size) {}
  DeviceArray(const std::string& name, const std::vector<T>& values)
      : DeviceArray(name, values.size()) {
    Upload(data_, values.data(), size_ * sizeof(T));
  }
  ~DeviceArray() { Free(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return static_cast<T*>(data_); }
  std::vector<T> values() const {
    std::vector<T> values(size_);
    Download(values.data(), data_, size_ * sizeof(T));
    return values;
  }

 private:
  void* data_;
  std::size_t size_;
};

}  // namespace pivotal::kernels::cuda_on_gpu
