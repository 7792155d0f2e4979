// Apache-2.0. HDF5 ids that close themselves, HDF5 failures as Error. For the .cc files of data/.
#pragma once

#include <hdf5.h>

#include <string>
#include <string_view>
#include <utility>

#include "data/error.h"

namespace pivotal::data {

// Owns one HDF5 id.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&&) = delete;
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

// What HDF5's error stack says: its innermost entry, the most specific one.
inline std::string Hdf5Cause() {
  std::string cause;
  const auto take = [](unsigned, const H5E_error2_t* entry, void* text) -> herr_t {
    auto& first = *static_cast<std::string*>(text);
    if (first.empty() && entry->desc != nullptr) first = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &cause);
  return cause.empty() ? "HDF5 gives no reason" : cause;
}

// Passes `result` through; an HDF5 failure (negative) is an Error that begins with `where`.
template <typename T>
T CheckHdf5(T result, std::string_view where, std::string_view what) {
  if (result < 0) Fail("{}: {}: {}", where, what, Hdf5Cause());
  return result;
}

}  // namespace pivotal::data
