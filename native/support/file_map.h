// A file as read-only memory: mapped where the system can, read otherwise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "error.h"

namespace albert {

// A file that another program cuts short while it is mapped raises SIGBUS, as with any mapping, and one that
// it overwrites shows the new bytes; writers that replace files by rename (as AtomicFile does) are safe.
class FileMap {
 public:
  // Throws Error{code} with the path and the system's reason.
  static std::shared_ptr<const FileMap> open(const std::string& path, ErrorCode code);

  static std::vector<std::shared_ptr<const FileMap>> open_all(const std::vector<std::string>& paths,
                                                              ErrorCode code);

  // The same view over bytes in memory, for readers that are given text and for tests.
  static std::shared_ptr<const FileMap> from_bytes(std::vector<uint8_t> bytes, const std::string& name);

  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  const std::string& path() const { return path_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

  // Whether nothing has been written to the mapped file since: one of other length or time of writing, not a
  // new file in its place.
  bool is_intact() const;

  // Lets the system drop the pages from memory; reading them again brings them back.
  void release_pages() const;

 private:
  FileMap() = default;
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  bool mapped_ = false;
  std::array<int64_t, 5> stamp_{};  // when mapped: device, file, size, time of writing in s and ns
  std::vector<uint8_t> bytes_;      // when not mapped
};

}  // namespace albert
