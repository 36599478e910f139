// Central directory of a ZIP archive, after PKWARE's APPNOTE 6.3.10 (sections 4.3 to 4.5).
#include "zip.h"

#include <unordered_set>

namespace albert {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50,
                   kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20;
constexpr uint64_t kMaxEntries = 200000;
constexpr uint64_t kIn64 = 0xffffffff;  // a 32-bit field that sends the reader to the Zip64 record

class ZipReader {
 public:
  explicit ZipReader(const FileMap& map) : map_(map) {}

  std::vector<ZipEntry> entries() {
    uint64_t count = 0, at = 0, bytes = 0;
    find_directory(&count, &at, &bytes);
    if (count > kMaxEntries || count > bytes / kCentralBytes)
      fail("the archive claims ", count, " entries in a directory of ", bytes, " bytes");
    need(at, bytes, "the central directory");
    std::vector<ZipEntry> entries;
    std::unordered_set<std::string> names;
    for (uint64_t i = 0; i < count; ++i) {
      entries.push_back(central_entry(&at));
      if (!names.insert(entries.back().name).second) fail("entry '", entries.back().name, "' appears twice");
    }
    return entries;
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail(const Args&... args) const {
    throw Error(ErrorCode::kCheckpoint,
                str(map_.path(), ": damaged zip archive: ", args..., "; fetch it again"));
  }

  void need(uint64_t at, uint64_t bytes, const char* what) const {
    if (at > map_.size() || bytes > map_.size() - at)
      fail(what, " at byte ", at, " does not fit the ", map_.size(), " bytes of the file");
  }

  uint64_t read(uint64_t at, size_t bytes) const {
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;) value = value << 8 | map_.data()[at + i];
    return value;
  }

  // The end record stands before a comment of at most 65535 bytes, so it is searched backwards.
  void find_directory(uint64_t* count, uint64_t* at, uint64_t* bytes) const {
    constexpr size_t kMaxComment = 65535;
    if (map_.size() < kEndBytes) fail("too short for an end record");
    size_t last = map_.size() - kEndBytes, first = last > kMaxComment ? last - kMaxComment : 0,
           end = last + 1;
    while (end-- > first)
      if (read(end, 4) == kEnd) break;
    if (end + 1 == first) fail("no end record; the file is truncated");
    *count = read(end + 10, 2);
    *bytes = read(end + 12, 4);
    *at = read(end + 16, 4);
    if (end < kLocatorBytes || read(end - kLocatorBytes, 4) != kLocator64) return;
    uint64_t end64 = read(end - kLocatorBytes + 8, 8);
    need(end64, kEnd64Bytes, "the Zip64 end record");
    if (read(end64, 4) != kEnd64) fail("no Zip64 end record at byte ", end64);
    *count = read(end64 + 32, 8);
    *bytes = read(end64 + 40, 8);
    *at = read(end64 + 48, 8);
  }

  ZipEntry central_entry(uint64_t* at) const {
    uint64_t record = *at;
    need(record, kCentralBytes, "a directory entry");
    if (read(record, 4) != kCentralHeader) fail("no directory entry at byte ", record);
    uint64_t flags = read(record + 8, 2), method = read(record + 10, 2);
    uint64_t packed = read(record + 20, 4), bytes = read(record + 24, 4), local = read(record + 42, 4);
    uint64_t name_bytes = read(record + 28, 2), extra_bytes = read(record + 30, 2),
             comment_bytes = read(record + 32, 2);
    need(record + kCentralBytes, name_bytes + extra_bytes + comment_bytes, "a directory entry");
    ZipEntry entry;
    entry.name = map_.text().substr(record + kCentralBytes, name_bytes);
    read_extra64(record + kCentralBytes + name_bytes, extra_bytes, &bytes, &packed, &local);
    *at = record + kCentralBytes + name_bytes + extra_bytes + comment_bytes;

    if (flags & 1) fail("entry '", entry.name, "' is encrypted");
    check(method == 0 && packed == bytes, ErrorCode::kCheckpoint, map_.path(), ": zip entry '", entry.name,
          "' is compressed (method ", method,
          "), but torch stores its entries plain; save the checkpoint again with "
          "torch.save");
    need(local, kLocalBytes, "a local header");
    if (read(local, 4) != kLocalHeader) fail("no local header of '", entry.name, "' at byte ", local);
    uint64_t data = local + kLocalBytes + read(local + 26, 2) + read(local + 28, 2);
    need(data, bytes, "the content of an entry");
    entry.data = map_.data() + data;
    entry.bytes = static_cast<size_t>(bytes);
    return entry;
  }

  // Zip64 extra field (id 1): 8-byte values, only of those fields that do not fit 32 bits, in this order.
  void read_extra64(uint64_t at, uint64_t extra_bytes, uint64_t* bytes, uint64_t* packed,
                    uint64_t* local) const {
    uint64_t end = at + extra_bytes;
    while (end - at >= 4) {
      uint64_t id = read(at, 2), length = read(at + 2, 2);
      at += 4;
      if (length > end - at) fail("an extra field leaves its entry");
      uint64_t field = at, field_end = at + length;
      at = field_end;
      if (id != 1) continue;
      for (uint64_t* value : {bytes, packed, local}) {
        if (*value != kIn64) continue;
        if (field_end - field < 8) fail("a Zip64 field is too short");
        *value = read(field, 8);
        field += 8;
      }
    }
  }

  const FileMap& map_;
};

}  // namespace

std::vector<ZipEntry> read_zip(const FileMap& map) { return ZipReader(map).entries(); }

}  // namespace albert
