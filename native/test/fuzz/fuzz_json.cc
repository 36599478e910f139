// Fuzzes the JSON reader: any bytes give a value or an Error, never anything else.
#include "support/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (bool unique_keys : {false, true}) {
    try {
      albert::Json json = albert::Json::parse(text, {albert::ErrorCode::kData, "fuzz", unique_keys});
      json.describe();
      json.find("model");
    } catch (const albert::Error&) {
    }
  }
  return 0;
}
