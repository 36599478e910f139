// Ready instances from the TFRecord files that the reference's create_pretraining_data.py writes.
#pragma once

#include "batches.h"
#include "support/file_map.h"

namespace albert {

// Every checksum is verified: lengths when the file is opened, contents when a record is read. The rows of
// the files are padded and their masks are fixed; padding is dropped here. Throws Error{kData} with file and
// record.
std::unique_ptr<InstanceSource> tfrecord_source(const std::vector<std::shared_ptr<const FileMap>>& files,
                                                int32_t vocabulary_size);

}  // namespace albert
