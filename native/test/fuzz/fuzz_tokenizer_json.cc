// Fuzzes the reader of tokenizer.json, and with the same bytes that of tokenizer_config.json.
#include "tokenizer_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  albert::test::load_and_use(text, "fuzz.json", text);
  return 0;
}
