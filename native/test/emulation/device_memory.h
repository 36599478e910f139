// Memory of the emulated device: poisoned when new, and closed to the code of the host.
#pragma once

#include <mutex>

namespace albert::emulation {

constexpr unsigned char kPoisonByte = 0xff;  // NaN of every type of float

// Lets one thread at a time touch the memory of all devices while it lives. May be nested.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;

 private:
  std::lock_guard<std::recursive_mutex> lock_;
};

}  // namespace albert::emulation
