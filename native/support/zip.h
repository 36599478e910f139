// The part of the ZIP format that torch writes: stored entries, with or without Zip64.
#pragma once

#include <string>
#include <vector>

#include "file_map.h"

namespace albert {

struct ZipEntry {
  std::string name;
  const uint8_t* data = nullptr;  // inside the map
  size_t bytes = 0;
};

// Every entry, in the order of the central directory, its bytes proven to lie inside the file. Throws
// Error{kCheckpoint} for a damaged archive and for compressed or encrypted entries.
std::vector<ZipEntry> read_zip(const FileMap& map);

}  // namespace albert
