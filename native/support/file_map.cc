// Memory map through mmap, or a plain read on systems without it.
#include "file_map.h"

#include <cerrno>
#include <system_error>

#if defined(_WIN32)
#include <filesystem>
#include <fstream>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace albert {

#if defined(_WIN32)

std::shared_ptr<const FileMap> FileMap::open(const std::string& path, ErrorCode code) {
  std::filesystem::path wide = std::filesystem::u8path(path);
  std::error_code reason;
  uintmax_t size = std::filesystem::file_size(wide, reason);
  check(!reason, code, path, ": cannot be read: ", reason.message());
  std::vector<uint8_t> bytes(static_cast<size_t>(size));
  std::ifstream stream(wide, std::ios::binary);
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  check(static_cast<bool>(stream), code, path, ": cannot be read to its end");
  return from_bytes(std::move(bytes), path);
}

FileMap::~FileMap() = default;

bool FileMap::is_intact() const { return true; }

void FileMap::release_pages() const {}

#else

namespace {

struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

std::array<int64_t, 5> stamp_of(const struct stat& status) {
#if defined(__APPLE__)
  const timespec written = status.st_mtimespec;
#else
  const timespec written = status.st_mtim;
#endif
  return {static_cast<int64_t>(status.st_dev), static_cast<int64_t>(status.st_ino), status.st_size,
          written.tv_sec, written.tv_nsec};
}

}  // namespace

std::shared_ptr<const FileMap> FileMap::open(const std::string& path, ErrorCode code) {
  auto fail = [&](int reason) {
    throw Error(code, str(path, ": cannot be read: ", std::generic_category().message(reason)));
  };
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.value < 0) fail(errno);
  struct stat status;
  if (::fstat(file.value, &status) != 0) fail(errno);
  if (S_ISDIR(status.st_mode)) fail(EISDIR);
  check(S_ISREG(status.st_mode), code, path, ": cannot be read: expected a regular file");

  std::shared_ptr<FileMap> map(new FileMap);
  map->path_ = path;
  map->size_ = static_cast<size_t>(status.st_size);
  map->stamp_ = stamp_of(status);
  if (map->size_ == 0) return map;
  void* memory = ::mmap(nullptr, map->size_, PROT_READ, MAP_PRIVATE, file.value, 0);
  if (memory == MAP_FAILED) fail(errno);
  map->data_ = static_cast<const uint8_t*>(memory);
  map->mapped_ = true;
  return map;
}

FileMap::~FileMap() {
  if (mapped_) ::munmap(const_cast<uint8_t*>(data_), size_);
}

bool FileMap::is_intact() const {
  struct stat status;
  if (!mapped_ || ::stat(path_.c_str(), &status) != 0) return true;
  const std::array<int64_t, 5> now = stamp_of(status);
  const bool is_the_mapped_one = now[0] == stamp_[0] && now[1] == stamp_[1];
  return !is_the_mapped_one || now == stamp_;
}

void FileMap::release_pages() const {
  if (mapped_) ::madvise(const_cast<uint8_t*>(data_), size_, MADV_DONTNEED);
}

#endif

std::vector<std::shared_ptr<const FileMap>> FileMap::open_all(const std::vector<std::string>& paths,
                                                              ErrorCode code) {
  std::vector<std::shared_ptr<const FileMap>> files;
  for (const std::string& path : paths) files.push_back(open(path, code));
  return files;
}

std::shared_ptr<const FileMap> FileMap::from_bytes(std::vector<uint8_t> bytes, const std::string& name) {
  std::shared_ptr<FileMap> map(new FileMap);
  map->path_ = name;
  map->bytes_ = std::move(bytes);
  map->data_ = map->bytes_.data();
  map->size_ = map->bytes_.size();
  return map;
}

}  // namespace albert
